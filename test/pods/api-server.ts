import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { selfSign } from "../helpers/cluster-pki.ts";
import { GATEWAY } from "./pod-node.ts";

/** Stands in for the Kubernetes API: one DaemonSet, and the Events that are written. */
export interface ApiServer {
  server: Server;
  /** Files of a service account that trusts it. */
  account: Record<string, string>;
  /** Events that were posted, as `namespace/pod`, and their messages. */
  events: { pod: string; message: string }[];
  /** Answer from now on that the DaemonSet is being deleted. */
  deleteDaemonSet(): void;
}

/** Port of the node at which pods find it. */
export const API_PORT = 6443;

const TOKEN = "token-of-the-pods-suite";

/** Make it, with a certificate of its own for the node's address. Needs openssl. */
export function makeApiServer(work: string, namespace: string): ApiServer {
  const { cert: certificate, key } = selfSign(work, "api", `IP:${GATEWAY}`);
  const events: ApiServer["events"] = [];
  let deleted: string | undefined;
  const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      const say = (status: number, value: unknown): void => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(value));
      };
      const path = request.url ?? "";
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return say(401, { kind: "Status", code: 401 });
      if (request.method === "GET" && path.startsWith(`/apis/apps/v1/namespaces/${namespace}/daemonsets/`)) {
        const name = path.split("/").at(-1);
        const metadata = { name, ...(deleted === undefined ? {} : { deletionTimestamp: deleted }) };
        return say(200, { kind: "DaemonSet", metadata });
      }
      if (request.method === "POST" && path.endsWith("/events")) {
        const event = JSON.parse(body) as { message: string; involvedObject: { namespace: string; name: string } };
        const { namespace: where, name } = event.involvedObject;
        events.push({ pod: `${where}/${name}`, message: event.message });
        return say(201, event);
      }
      return say(404, { kind: "Status", status: "Failure", reason: "NotFound", code: 404 });
    });
  });
  return {
    server,
    account: { token: TOKEN, namespace, "ca.crt": readFileSync(certificate, "utf8") },
    events,
    deleteDaemonSet: () => (deleted = "2026-01-01T00:00:00Z"),
  };
}
