import { readFileSync } from "node:fs";
import { request, type Agent } from "node:https";
import { join } from "node:path";
import { reasonOf } from "../base/errors.ts";
import { tryParseJson } from "../base/json.ts";

/** Where a pod finds its service account. @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Characters of one line of a watch. */
const WATCH_LINE_MAX = 1024 * 1024;

/** How to reach the API server from inside a pod. */
export interface KubernetesAccess {
  host: string;
  port: number;
  /** Directory with `token`, `ca.crt` and `namespace`. The files are read anew for each request: tokens are replaced. */
  directory: string;
  /** Keeps connections for the next request; without it each has one of its own. */
  agent?: Agent;
}

/** What the API server said; `status` 0 when it could not be asked. */
export interface KubernetesAnswer {
  status: number;
  /** The parsed body; undefined when it is no JSON. */
  body: unknown;
  /** Why it could not be asked. */
  problem?: string;
}

/** Find the API server in a pod's environment; undefined outside of a cluster. */
export function findKubernetes(
  env: Readonly<Record<string, string | undefined>>,
  directory = SERVICE_ACCOUNT_DIRECTORY,
): KubernetesAccess | undefined {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = Number(env["KUBERNETES_SERVICE_PORT"] ?? "443");
  if (host === undefined || host === "" || !Number.isInteger(port)) return undefined;
  return { host, port, directory };
}

/** Read the namespace that a pod's service account is in; undefined when it is not known. */
export function readOwnNamespace(access: KubernetesAccess): string | undefined {
  try {
    return readFileSync(join(access.directory, "namespace"), "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/**
 * Send a request to the API server. Never rejects: whoever asks has to go on without an answer anyway.
 * @param path such as `/api/v1/namespaces/x/pods/y`
 */
export async function askKubernetes(
  access: KubernetesAccess,
  method: "GET" | "POST" | "PATCH",
  path: string,
  body?: unknown,
): Promise<KubernetesAnswer> {
  try {
    const token = readFileSync(join(access.directory, "token"), "utf8").trim();
    const ca = readFileSync(join(access.directory, "ca.crt"));
    return await send(access, {
      method,
      path,
      token,
      ca,
      ...(body === undefined ? {} : { text: JSON.stringify(body) }),
    });
  } catch (error) {
    return { status: 0, body: undefined, problem: reasonOf(error) };
  }
}

/**
 * Read the lines of a request that stays open: a watch. Ends when the server ends it, when it breaks off, when a line is
 * longer than 1 MiB, or with the signal. Never rejects.
 * @param path with `watch=1`
 * @returns the HTTP status, 0 when nobody answered
 */
export function watchKubernetes(
  access: KubernetesAccess,
  path: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve) => {
    let status = 0;
    const end = (): void => resolve(status);
    try {
      const token = readFileSync(join(access.directory, "token"), "utf8").trim();
      const ca = readFileSync(join(access.directory, "ca.crt"));
      const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
      const { host, port } = access;
      const outgoing = request({ host, port, path, ca, agent: false, signal, headers }, (answer) => {
        status = answer.statusCode ?? 0;
        let rest = "";
        answer.setEncoding("utf8");
        answer.on("data", (text: string) => {
          const lines = `${rest}${text}`.split("\n");
          rest = lines.pop() ?? "";
          if (rest.length > WATCH_LINE_MAX) outgoing.destroy();
          else if (status === 200) for (const line of lines) onLine(line);
        });
        answer.on("close", end);
        answer.on("error", end);
      });
      outgoing.on("error", end);
      outgoing.end();
    } catch {
      end();
    }
  });
}

interface Message {
  method: string;
  path: string;
  token: string;
  ca: Buffer;
  text?: string;
}

function send(access: KubernetesAccess, { method, path, token, ca, text }: Message): Promise<KubernetesAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: access.host,
        port: access.port,
        method,
        path,
        ca,
        agent: access.agent ?? false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          authorization: `Bearer ${token}`,
          accept: "application/json",
          ...(text === undefined
            ? {}
            : {
                "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
                "content-length": Buffer.byteLength(text),
              }),
        },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_ANSWER_BYTES) outgoing.destroy(new Error("the answer is too long"));
          else chunks.push(chunk);
        });
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: tryParseJson(Buffer.concat(chunks)) }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(text);
  });
}
