import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { issue, makeAuthority, type KeyPair } from "../helpers/cluster-pki.ts";

/** One request, as the stand-in for an API server saw it. */
export interface Seen {
  path: string;
  authorization: string | undefined;
  /** Common name of the client's certificate. */
  client: string | undefined;
}

/** A stand-in for an API server that answers what a test says, over TLS. */
export interface ApiServer extends AsyncDisposable {
  readonly port: number;
  readonly ca: KeyPair;
  readonly seen: Seen[];
  /** Make a client's certificate. */
  client(name: string): KeyPair;
}

/** Start it. @param answer gives status and body; undefined is 404 */
export async function startApiServer(
  directory: string,
  answer: (path: string, request: IncomingMessage) => { status: number; body: unknown } | undefined,
): Promise<ApiServer> {
  mkdirSync(directory, { recursive: true });
  const ca = makeAuthority(directory, "ca");
  const own = issue(directory, "server", ca, {
    subject: "/CN=server",
    addresses: ["IP:127.0.0.1", "DNS:cluster.test"],
  });
  const seen: Seen[] = [];
  const tls = { cert: readFileSync(own.cert), key: readFileSync(own.key), ca: readFileSync(ca.cert) };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url ?? "/";
    const subject = (request.socket as TLSSocket).getPeerCertificate().subject as { CN?: string } | undefined;
    seen.push({ path, authorization: request.headers.authorization, client: subject?.CN });
    const { status, body } = answer(path, request) ?? { status: 404, body: "404 page not found" };
    response.writeHead(status, { "content-type": typeof body === "string" ? "text/plain" : "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
  const server = createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    ca,
    seen,
    client: (name) => issue(directory, `client-${name}`, ca, { subject: `/CN=${name}` }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** One user and one cluster of a kubeconfig, by the name of their context. */
export interface ContextSpec {
  port: number;
  caFile: string;
  user: Record<string, unknown>;
  namespace?: string;
  cluster?: Record<string, unknown>;
}

/** Write a kubeconfig; the first context is the current one. */
export function writeContexts(file: string, contexts: Record<string, ContextSpec>): string {
  const all = Object.entries(contexts);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": all[0]?.[0],
    clusters: all.map(([name, { port, caFile, cluster }]) => ({
      name,
      cluster: {
        server: `https://127.0.0.1:${port}`,
        "certificate-authority-data": readFileSync(caFile).toString("base64"),
        ...cluster,
      },
    })),
    users: all.map(([name, { user }]) => ({ name, user })),
    contexts: all.map(([name, { namespace }]) => ({
      name,
      context: { cluster: name, user: name, ...(namespace === undefined ? {} : { namespace }) },
    })),
  };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

/** A way to a port that can be broken. */
export interface Breaker {
  readonly port: number;
  /** After so many bytes of answers a connection is cut, as often as `cuts` says; then all goes through. */
  cutAfterBytes: number;
  cuts: number;
  /** After so many bytes in all nothing more comes, and nothing ends. */
  stallAfterBytes: number | undefined;
  /** It has come to that. */
  isStalled: boolean;
  /** Bytes that came through in all. */
  passedBytes: number;
  close(): void;
}

/** Start a breaker before a port. */
export async function startBreaker(target: number): Promise<Breaker> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
    }
    near.on("close", () => far.destroy());
    near.pipe(far);
    let bytes = 0;
    far.on("end", () => near.end());
    far.on("data", (chunk: Buffer) => {
      // One chunk at a time, so that what counts as passed has left.
      far.pause();
      if (breaker.stallAfterBytes !== undefined && breaker.passedBytes > breaker.stallAfterBytes) {
        breaker.isStalled = true;
        return;
      }
      near.write(chunk, () => {
        bytes += chunk.length;
        breaker.passedBytes += chunk.length;
        if (breaker.cuts > 0 && bytes > breaker.cutAfterBytes) {
          breaker.cuts -= 1;
          near.destroy();
        } else far.resume();
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const breaker: Breaker = {
    port: (server.address() as AddressInfo).port,
    cutAfterBytes: 0,
    cuts: 0,
    stallAfterBytes: undefined,
    isStalled: false,
    passedBytes: 0,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return breaker;
}

/** An HTTP proxy that tunnels everything to loopback. */
export interface ConnectProxy {
  readonly port: number;
  /** Each host and port that it was asked for. */
  readonly asked: string[];
  close(): void;
}

/** Start a proxy. */
export async function startConnectProxy(): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  const server = createPlainServer().on("connect", (request, near: Duplex) => {
    asked.push(request.url ?? "");
    const far = connect(Number(request.url?.split(":").at(-1)), "127.0.0.1", () => {
      near.write("HTTP/1.1 200 Connection established\r\n\r\n");
      far.pipe(near).pipe(far);
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
