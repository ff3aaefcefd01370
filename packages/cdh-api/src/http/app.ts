import { CdhError, reasonOf } from "@cdh/core/errors";
import type { IncomingMessage, ServerResponse } from "node:http";
import { sendBundle } from "../download/bundle.ts";
import { sendCore } from "../download/core.ts";
import { makeLink } from "../download/link.ts";
import { sendReport } from "../download/report.ts";
import { BASE_PATH, GROUP, RESOURCE, VERSION_NAME } from "../group.ts";
import { ApiError, fromCdhError, methodNotAllowed, pathNotFound } from "../kube/api-error.ts";
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, wantedAggregation } from "../kube/discovery.ts";
import { openApiV2, openApiV3, openApiV3Index } from "../kube/openapi.ts";
import { getOne, listOrWatch } from "../kube/read.ts";
import { deleteCollection, deleteOne, patchOne } from "../kube/write.ts";
import { koredump } from "../rest/koredump.ts";
import { permit, type AppContext } from "./app-context.ts";
import { openExchange, type Exchange } from "./exchange.ts";
import { begin, sendError, sendText } from "./send.ts";
import type { PageRoute } from "../page/routes.ts";

/** What probes are answered. */
export interface Probes {
  /** Reasons why it is not ready; none when it is. */
  readiness: () => string[];
}

/** A handler and the name under which its requests are counted. */
interface Found {
  route: string;
  handle: () => Promise<void> | void;
}

/** Make the function that answers every request. */
export function makeApp(
  app: AppContext,
  probes: Probes,
  files: readonly PageRoute[],
): (request: IncomingMessage, response: ServerResponse) => void {
  const statics = new Map(files.map((file) => [file.path, file]));
  const find = (exchange: Exchange): Found => {
    const { method, path } = exchange;
    const reads = method === "GET" || method === "HEAD";
    if (reads) {
      const found = statics.get(path);
      if (found !== undefined) return { route: "page", handle: () => sendFile(exchange, found) };
      const probe = probeOf(exchange, probes);
      if (probe !== undefined) return { route: "probe", handle: probe };
    }
    if (exchange.segments[0] === "apiv1") return { route: "rest", handle: () => koredump(app, exchange) };
    if (path.startsWith(`${BASE_PATH}/`)) return kubernetesRoute(app, exchange);
    const document = reads ? documentOf(exchange) : undefined;
    if (document === undefined) throw pathNotFound();
    return {
      route: "discovery",
      handle: async () => {
        await permit(app, exchange, { verb: "get", path });
        sendText(exchange, 200, document.contentType, `${JSON.stringify(document.body)}\n`);
      },
    };
  };
  return (request, response) => void answer(app, request, response, find);
}

async function answer(
  app: AppContext,
  request: IncomingMessage,
  response: ServerResponse,
  find: (exchange: Exchange) => Found,
): Promise<void> {
  const began = app.clock.monotonic();
  let exchange: Exchange | undefined;
  let route = "none";
  // A connection that breaks is nobody's bug.
  response.on("error", () => {});
  try {
    exchange = openExchange(request, response);
    const found = find(exchange);
    route = exchange.query.has("watch") && found.route === "list" ? "watch" : found.route;
    await found.handle();
  } catch (error) {
    fail(app, exchange ?? emptyExchange(request, response), error);
  } finally {
    app.metrics.request(route, response.statusCode, (app.clock.monotonic() - began) / 1000);
  }
}

function fail(app: AppContext, exchange: Exchange, error: unknown): void {
  const { response } = exchange;
  if (exchange.signal.aborted && response.destroyed) return;
  if (!(error instanceof ApiError)) {
    // Neither the query, which may hold a ticket, nor any header is logged.
    const fields = { method: exchange.method, path: exchange.path.slice(0, 200), reason: reasonOf(error) };
    if (error instanceof CdhError) app.log.warn("cannot answer", { ...fields, code: error.code });
    else app.log.error("a request failed", { ...fields, stack: error instanceof Error ? error.stack : undefined });
  }
  if (response.headersSent) return void response.destroy();
  const shown =
    error instanceof ApiError
      ? error
      : error instanceof CdhError
        ? fromCdhError(error)
        : new ApiError(500, "InternalError", "an internal error occurred");
  sendError(exchange, shown);
}

/** For a request whose path cannot even be read. */
function emptyExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  return {
    request,
    response,
    method: request.method ?? "GET",
    path: "",
    segments: [],
    query: new URLSearchParams(),
    remoteAddress: request.socket.remoteAddress ?? "",
    signal: new AbortController().signal,
  };
}

/** Find the handler of a resource's path. @throws {ApiError} 404, 405 */
function kubernetesRoute(app: AppContext, exchange: Exchange): Found {
  const [, , , first, namespace = "", resource, name, subresource, ...more] = exchange.segments;
  const verb = exchange.method === "HEAD" ? "GET" : exchange.method;
  if (first === RESOURCE && namespace === "") {
    if (verb !== "GET") throw methodNotAllowed("GET");
    return { route: "list", handle: () => listOrWatch(app, exchange, undefined) };
  }
  if (first !== "namespaces" || namespace === "" || resource !== RESOURCE || more.length > 0) throw pathNotFound();
  if (name === undefined) {
    if (verb === "GET") return { route: "list", handle: () => listOrWatch(app, exchange, namespace) };
    if (verb === "DELETE") return { route: "delete", handle: () => deleteCollection(app, exchange, namespace) };
    throw methodNotAllowed("GET, DELETE");
  }
  if (subresource === undefined) {
    if (verb === "GET") return { route: "get", handle: () => getOne(app, exchange, namespace, name) };
    if (verb === "DELETE") return { route: "delete", handle: () => deleteOne(app, exchange, namespace, name) };
    if (verb === "PATCH") return { route: "patch", handle: () => patchOne(app, exchange, namespace, name) };
    throw methodNotAllowed("GET, DELETE, PATCH");
  }
  const downloads: Record<string, () => Promise<void>> = {
    bundle: () => sendBundle(app, exchange, namespace, name),
    core: () => sendCore(app, exchange, namespace, name),
    report: () => sendReport(app, exchange, namespace, name),
  };
  if (subresource === "link") {
    if (verb !== "POST") throw methodNotAllowed("POST");
    return { route: "link", handle: () => makeLink(app, exchange, namespace, name) };
  }
  const handle = Object.hasOwn(downloads, subresource) ? downloads[subresource] : undefined;
  if (handle === undefined) throw pathNotFound();
  if (verb !== "GET") throw methodNotAllowed("GET");
  return { route: subresource, handle };
}

/** Find a document that clients read before they ask for objects. */
function documentOf(exchange: Exchange): { contentType: string; body: unknown } | undefined {
  const { path } = exchange;
  const json = (body: unknown): { contentType: string; body: unknown } => ({ contentType: "application/json", body });
  const wanted = wantedAggregation(exchange.request.headers.accept);
  switch (path.replace(/\/$/, "")) {
    case "/apis":
      if (wanted === undefined) return json(apiGroupList());
      return {
        contentType: `application/json;g=apidiscovery.k8s.io;v=${wanted};as=APIGroupDiscoveryList`,
        body: aggregatedDiscovery(wanted),
      };
    case "/api":
      return json({ kind: "APIVersions", versions: [], serverAddressByClientCIDRs: [] });
    case `/apis/${GROUP}`:
      return json(apiGroup());
    case `/apis/${GROUP}/${VERSION_NAME}`:
      return json(apiResourceList());
    case "/openapi/v2":
      return json(openApiV2());
    case "/openapi/v3":
      return json(openApiV3Index());
    case `/openapi/v3${BASE_PATH}`:
      return json(openApiV3());
    default:
      return undefined;
  }
}

function probeOf(exchange: Exchange, probes: Probes): (() => void) | undefined {
  switch (exchange.path) {
    case "/health":
      return () => sendText(exchange, 200, "text/plain; charset=utf-8", "OK");
    case "/healthz":
    case "/livez":
      return () => sendText(exchange, 200, "text/plain; charset=utf-8", "ok");
    case "/readyz":
      return () => {
        const reasons = probes.readiness();
        const text = reasons.length === 0 ? "ok" : `${reasons.join("\n")}\n`;
        sendText(exchange, reasons.length === 0 ? 200 : 503, "text/plain; charset=utf-8", text);
      };
    default:
      return undefined;
  }
}

function sendFile(exchange: Exchange, file: PageRoute): void {
  const etag = file.headers["etag"];
  if (etag !== undefined && exchange.request.headers["if-none-match"] === etag) {
    begin(exchange, 304, file.headers);
    return void exchange.response.end();
  }
  sendText(exchange, 200, file.contentType, file.body, file.headers);
}
