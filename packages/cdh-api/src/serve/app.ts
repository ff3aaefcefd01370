import type { IncomingMessage, ServerResponse } from "node:http";
import { addressOf } from "@cdh/core/connection-pool";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { AppContext } from "../call/app-context.ts";
import type { PathParameter } from "../call/call.ts";
import { ApiError, fromCdhError } from "../http/api-error.ts";
import { openExchange, type Exchange } from "../http/exchange.ts";
import { sendError } from "../http/send.ts";
import type { RouteId } from "../routes.ts";
import { admit } from "./admit.ts";
import type { Handler } from "./handlers.ts";
import { findRoute, type Found } from "./router.ts";

/** Statuses of requests that were refused for who asks, or how much of it: they are audited. */
const REFUSED: ReadonlySet<number> = new Set([401, 403, 429]);

/** Make the function that answers every request: it finds the route, checks its right, and has it handled. */
export function makeApp(
  app: AppContext,
  handlers: Readonly<Record<RouteId, Handler>>,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => void answer(app, request, response, handlers);
}

async function answer(
  app: AppContext,
  request: IncomingMessage,
  response: ServerResponse,
  handlers: Readonly<Record<RouteId, Handler>>,
): Promise<void> {
  const began = app.clock.monotonic();
  let exchange: Exchange | undefined;
  let route: Parameters<AppContext["metrics"]["request"]>[0] = "none";
  // A connection that breaks is nobody's bug.
  response.on("error", () => {});
  try {
    exchange = openExchange(request, response);
    const found = findRoute(exchange);
    route = found.route.counted;
    const admitted = await admit(app, exchange, found);
    const param = (name: PathParameter): string => paramOf(found, name);
    await handlers[found.route.id]({ app, exchange, route: found.route, param, ...admitted });
  } catch (error) {
    fail(app, exchange ?? emptyExchange(request, response), error);
  } finally {
    app.metrics.request(route, response.statusCode, (app.clock.monotonic() - began) / 1000);
  }
}

function paramOf({ route, parameters }: Found, name: PathParameter): string {
  const value = parameters.get(name);
  if (value === undefined) throw new TypeError(`the path of ${route.id} has no ${name}`);
  return value;
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
  if (error instanceof ApiError && REFUSED.has(error.status)) app.refusals.note(exchange, error);
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
    share: addressOf(request.socket),
    caller: undefined,
  };
}
