import { request as requestPlain, type IncomingMessage } from "node:http";
import { request as requestTls } from "node:https";
import { createGunzip } from "node:zlib";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { parseJson } from "@cdh/core/json";
import type { Cluster } from "./kubeconfig.ts";

/** Nothing for this long: the server, or something on the way, is gone. */
const IDLE_MS = 60_000;
/** The pods of a large cluster in one list: ten thousand, of some four hundred elements each. */
const ANSWER_LIMITS = { bytes: 256 * 1024 * 1024, depth: 64, elements: 4_000_000 };
const REASON_MAX_BYTES = 64 * 1024;

/** Say what is asked beside the path. */
export interface AskOptions {
  method?: "GET" | "HEAD" | "POST" | "DELETE";
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Answers that the caller looks at itself; 200 to 299 are always fine. */
  accept?: readonly number[];
}

/** Ask a cluster's API server with a person's own rights. */
export class KubeClient {
  readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /**
   * Ask and get the answer as a stream.
   * @throws {CdhError} CDH_NOT_FOUND, CDH_STORE_DENIED, CDH_STORE_UNREACHABLE, CDH_STORE
   */
  async ask(path: string, options: AskOptions = {}): Promise<IncomingMessage> {
    const { cluster } = this;
    const { headers: own, ...rest } = await cluster.options();
    const url = new URL(`${cluster.server.pathname.replace(/\/$/, "")}${path}`, cluster.server);
    const request = url.protocol === "https:" ? requestTls : requestPlain;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(url, {
        ...rest,
        method: options.method ?? "GET",
        headers: { ...own, accept: "application/json", ...options.headers },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      outgoing.setTimeout(IDLE_MS, () => outgoing.destroy(new Error(`no answer for ${IDLE_MS / 1000} s`)));
      outgoing.on("error", reject);
      outgoing.on("response", resolve);
      outgoing.end();
    }).catch((error: unknown) => {
      options.signal?.throwIfAborted();
      throw new CdhError("CDH_STORE_UNREACHABLE", `cannot reach ${cluster.server.origin}: ${reasonOf(error)}`, {
        cause: error,
        hint: `context ${cluster.name}`,
      });
    });
    const status = answer.statusCode ?? 0;
    if ((status >= 200 && status < 300) || options.accept?.includes(status) === true) return answer;
    throw refusal(status, await readText(answer, REASON_MAX_BYTES).catch(() => ""), path, cluster);
  }

  /** Ask for JSON. @throws {CdhError} as {@link ask} */
  async json(path: string, options: AskOptions = {}): Promise<unknown> {
    const text = await this.text(path, options);
    try {
      return parseJson(text, ANSWER_LIMITS);
    } catch (error) {
      throw new CdhError("CDH_STORE", `cannot read the answer to ${path}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Ask for a text. @throws {CdhError} as {@link ask} */
  async text(path: string, options: AskOptions = {}): Promise<string> {
    const headers = { "accept-encoding": "gzip", ...options.headers };
    const answer = await this.ask(path, { ...options, headers });
    try {
      return await readText(unpacked(answer), ANSWER_LIMITS.bytes);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new CdhError("CDH_STORE_UNREACHABLE", `cannot read the answer to ${path}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}

function unpacked(answer: IncomingMessage): AsyncIterable<unknown> {
  if (answer.headers["content-encoding"] !== "gzip") return answer;
  const text = createGunzip();
  answer.on("error", (error) => text.destroy(error));
  text.on("close", () => answer.destroy());
  return answer.pipe(text);
}

async function readText(answer: AsyncIterable<unknown>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new Error("the answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function refusal(status: number, text: string, path: string, cluster: Cluster): CdhError {
  const said = messageOf(text);
  const details = { status, path };
  if (status === 401) {
    return new CdhError("CDH_STORE_DENIED", `the cluster of context ${cluster.name} does not know who you are (401)`, {
      details,
      hint: "the token or certificate in the kubeconfig may have expired",
    });
  }
  if (status === 403)
    return new CdhError("CDH_STORE_DENIED", said ?? `the cluster refuses ${path} (403)`, {
      details,
      hint: "docs/access.md has the roles that an administrator can bind",
    });
  if (status === 404) {
    const isApi = path.includes("/apis/core-dump-handler.dev/") && said === undefined;
    return new CdhError(
      "CDH_NOT_FOUND",
      isApi
        ? `the cluster of context ${cluster.name} has no crashes to show: cdh-api is not there`
        : (said ?? `${path} is not there`),
      { details, ...(isApi ? { hint: "chart value api.enabled" } : {}) },
    );
  }
  return new CdhError("CDH_STORE", said ?? `the cluster answers ${status} to ${path}`, { details });
}

/** A Kubernetes Status says why; a proxy's page does not. */
function messageOf(text: string): string | undefined {
  try {
    const { kind, message } = parseJson(text) as { kind?: string; message?: string };
    return kind === "Status" && typeof message === "string" && message !== "" ? message : undefined;
  } catch {
    return undefined;
  }
}
