import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubernetesAccess } from "@cdh/core/kubernetes";
import { selfSign } from "../helpers/cluster-pki.ts";
import { Leases, type Lease } from "./leases.ts";

/** Stands in for the API server where retention meets it: Leases with versions, namespaces, pods. */
export interface RetentionCluster extends AsyncDisposable {
  access: KubernetesAccess;
  /** Environment of a pod of it. */
  env: Record<string, string>;
  namespaces: Set<string>;
  /** `namespace/name` to what its metadata holds. */
  pods: Map<string, { uid: string; annotations?: Record<string, string> }>;
  leases: Map<string, Lease>;
  /** Every request as `METHOD path`. */
  requests: string[];
  /** What happens to requests on paths that match; undefined: all is well. */
  fault:
    | { path: RegExp; how: "refuse" | "hang" | "proxy404" | "forbidden"; except?: (who: string) => boolean }
    | undefined;
}

/** Start it. Needs openssl. */
export async function startRetentionCluster(): Promise<RetentionCluster> {
  const directory = mkdtempSync(join(tmpdir(), "cdh-retention-api-"));
  const { cert: certificate, key } = selfSign(directory, "ca", "IP:127.0.0.1");
  writeFileSync(join(directory, "token"), "token\n");
  writeFileSync(join(directory, "namespace"), "observe\n");
  const leases = new Leases();
  const cluster = {
    namespaces: new Set<string>(["observe"]),
    pods: new Map<string, { uid: string; annotations?: Record<string, string> }>(),
    leases: leases.all,
    requests: [] as string[],
    fault: undefined as RetentionCluster["fault"],
  };
  const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    void readBody(request).then((body) => {
      const path = request.url ?? "";
      cluster.requests.push(`${request.method} ${path}`);
      const fault = cluster.fault?.path.test(path) === true ? cluster.fault : undefined;
      const holder = (body as Partial<Lease> | undefined)?.spec?.holderIdentity ?? "";
      if (fault !== undefined && fault.except?.(holder) !== true) {
        if (fault.how === "hang") return;
        if (fault.how === "refuse") return void request.socket.destroy();
        if (fault.how === "proxy404") return void response.writeHead(404).end("<html>not here</html>");
        return say(response, 403, { kind: "Status", reason: "Forbidden", code: 403 });
      }
      answer(request.method ?? "", path, body, response);
    });
  });
  const answer = (method: string, path: string, body: unknown, response: ServerResponse): void => {
    const lease = leases.answer(method, path, body as Lease);
    if (lease !== undefined) return say(response, lease.status, lease.body);
    const pod = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(path);
    if (pod !== null) {
      const found = cluster.pods.get(`${pod[1]}/${pod[2]}`);
      if (found === undefined || !cluster.namespaces.has(pod[1] ?? "")) return missing(response, "pods", pod[2] ?? "");
      return say(response, 200, { kind: "Pod", metadata: { name: pod[2], ...found } });
    }
    const namespace = /^\/api\/v1\/namespaces\/([^/]+)$/.exec(path)?.[1];
    if (namespace === undefined || !cluster.namespaces.has(namespace))
      return missing(response, "namespaces", namespace ?? "");
    say(response, 200, { kind: "Namespace", metadata: { name: namespace, uid: `uid-of-${namespace}` } });
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(cluster, {
    access: { host: "127.0.0.1", port, directory },
    env: {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String(port),
      KUBERNETES_SERVICE_ACCOUNT_DIR: directory,
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  });
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text === "" ? undefined : JSON.parse(text);
}

function say(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function missing(response: ServerResponse, kind: string, name: string): void {
  say(response, 404, { kind: "Status", status: "Failure", reason: "NotFound", details: { name, kind }, code: 404 });
}
