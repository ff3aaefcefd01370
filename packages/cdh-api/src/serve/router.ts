import { methodNotAllowed, pathNotFound } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { ROUTES, type NamedRoute } from "../routes.ts";

/** A route and what stood in the path. */
export interface Found {
  route: NamedRoute;
  parameters: ReadonlyMap<string, string>;
}

const SHAPES = ROUTES.map((route) => ({ route, parts: route.path.split("/").filter((part) => part !== "") }));

/**
 * Find the route of a request.
 * @throws {ApiError} 404 when nothing is at that path, 405 when something is and takes other methods
 */
export function findRoute({ method, segments, query }: Pick<Exchange, "method" | "segments" | "query">): Found {
  const wanted = method === "HEAD" ? "GET" : method;
  const allowed = new Set<string>();
  for (const { route, parts } of SHAPES) {
    const parameters = match(parts, segments);
    if (parameters === undefined || (route.flag !== undefined && !isSet(query, route.flag))) continue;
    if (route.method === wanted) return { route, parameters };
    allowed.add(route.method);
  }
  throw allowed.size === 0 ? pathNotFound() : methodNotAllowed([...allowed].join(", "));
}

function match(parts: readonly string[], segments: readonly string[]): Map<string, string> | undefined {
  if (parts.length !== segments.length) return undefined;
  const parameters = new Map<string, string>();
  for (const [at, part] of parts.entries()) {
    const segment = segments[at] ?? "";
    if (part.startsWith("{")) parameters.set(part.slice(1, -1), segment);
    else if (part !== segment) return undefined;
  }
  return parameters;
}

function isSet(query: URLSearchParams, flag: string): boolean {
  return ["1", "true"].includes(query.get(flag) ?? "");
}
