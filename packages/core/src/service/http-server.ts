import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CdhError, reasonOf } from "../base/errors.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { METRICS_CONTENT_TYPE, type Metrics } from "./metrics.ts";

/** Probes and scrapers are few. */
const CONNECTIONS_MAX = 64;

/** An answer to a GET request. */
export interface HttpAnswer {
  status: number;
  contentType?: string;
  body: string;
}

/** Answers by path. */
export type HttpRoutes = Readonly<Record<string, () => HttpAnswer | Promise<HttpAnswer>>>;

/** A server that listens. */
export interface HttpServer {
  host: string;
  port: number;
  close(): Promise<void>;
}

/** Whether a program is well, and why not. */
export interface Health {
  ok: boolean;
  reasons: string[];
}

/**
 * Read a listen address: `:9100`, `9100`, `127.0.0.1:9100`, `[::1]:9100`.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function parseListenAddress(text: string): { host: string | undefined; port: number } {
  const match = /^(?:(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(?<port>\d{1,5})$/.exec(text.trim());
  const port = Number(match?.groups?.["port"]);
  if (match === null || port > 65_535) {
    throw new CdhError("CDH_CONFIG_INVALID", `not a listen address: ${JSON.stringify(text)}`, {
      hint: "write :9100 or 127.0.0.1:9100",
    });
  }
  const host = match.groups?.["host"]?.replace(/^\[|\]$/g, "");
  return { host: host === "" ? undefined : host, port };
}

/**
 * Make the two routes that every daemon of ours has. `/healthz` says 200 or 503, with the reasons.
 * @param refresh looks up what the metrics show and only a look can tell; awaited before each rendering
 */
export function daemonRoutes(health: () => Health, metrics: Metrics, refresh?: () => Promise<void>): HttpRoutes {
  return {
    "/healthz": () => {
      const { ok, reasons } = health();
      return { status: ok ? 200 : 503, body: ok ? "ok\n" : `${reasons.join("\n")}\n` };
    },
    "/metrics": async () => {
      await refresh?.();
      return { status: 200, contentType: METRICS_CONTENT_TYPE, body: metrics.render() };
    },
  };
}

/**
 * Serve a few GET routes: for probes and metrics, not for the public. Slow and idle clients are cut off, and nobody who
 * opens many connections keeps the kubelet out.
 * @throws {CdhError} CDH_ENVIRONMENT when it cannot listen there
 */
export async function startHttpServer(address: string, routes: HttpRoutes): Promise<HttpServer> {
  const { host, port } = parseListenAddress(address);
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 },
    (request, response) => {
      void answer(routes, request, response);
    },
  );
  const pool = new ConnectionPool({ max: CONNECTIONS_MAX });
  server.on("connection", (socket) => pool.add(socket));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(new CdhError("CDH_ENVIRONMENT", `cannot listen on ${address}: ${reasonOf(error)}`, { cause: error }));
    });
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  });
  const bound = server.address() as AddressInfo;
  return {
    host: bound.address,
    port: bound.port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(routes: HttpRoutes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = ({ status, contentType, body }: HttpAnswer): void => {
    response.writeHead(status, {
      "content-type": contentType ?? "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return send({ status: 404, body: "not found\n" });
  if (request.method !== "GET" && request.method !== "HEAD") return send({ status: 405, body: "only GET\n" });
  try {
    send(await route());
  } catch (error) {
    send({ status: 500, body: `${reasonOf(error)}\n` });
  }
}
