import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@cdh/core/exec";
import type { KubernetesAccess } from "@cdh/core/kubernetes";

/** An HTTPS server with a certificate of its own that stands in for the Kubernetes API. */
export interface FakeApiServer extends AsyncDisposable {
  access: KubernetesAccess;
  /** Answers by path; anything else is 404 as the API server says it. */
  answers: Map<string, { status: number; body: unknown }>;
  /** Tell every watch that is open. @returns how many there are */
  push(event: { type: string; object?: object }): number;
  /** Every request as `METHOD path token`. */
  requests: string[];
}

/** Start it, with a service account directory whose CA it is signed by. Needs openssl. */
export async function startFakeApiServer(): Promise<FakeApiServer> {
  const directory = mkdtempSync(join(tmpdir(), "cdh-api-"));
  const key = join(directory, "key.pem");
  const certificate = join(directory, "ca.crt");
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const made = await run("openssl", ["req", "-x509", ...kind, ...subject, "-keyout", key, "-out", certificate]);
  if (made.failed) throw new Error(`openssl: ${made.notStarted ?? made.stderr}`);
  writeFileSync(join(directory, "token"), "secret\n");
  writeFileSync(join(directory, "namespace"), "observe\n");
  const answers: FakeApiServer["answers"] = new Map();
  const requests: string[] = [];
  const watches = new Set<ServerResponse>();
  const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    const path = request.url ?? "";
    if (path.includes("watch=1")) {
      watches.add(response);
      response.on("close", () => watches.delete(response));
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      return;
    }
    requests.push(`${request.method} ${path} ${request.headers.authorization}`);
    const { status, body } = answers.get(path) ?? {
      status: 404,
      body: { kind: "Status", status: "Failure", reason: "NotFound", message: "not found", code: 404 },
    };
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    access: { host: "127.0.0.1", port: (server.address() as AddressInfo).port, directory },
    answers,
    push: (event) => {
      for (const watch of watches) watch.write(`${JSON.stringify(event)}\n`);
      return watches.size;
    },
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
