import type { Caller } from "../auth/caller.ts";
import type { Exchange } from "../http/exchange.ts";
import type { NamedRoute } from "../routes.ts";
import type { AppContext } from "./app-context.ts";

/** What varies in the paths of routes. */
export type PathParameter = "namespace" | "name" | "node" | "id" | "file" | "buildid" | "section";

/** A request whose route is known and whose right was checked. */
export interface Call {
  readonly app: AppContext;
  readonly exchange: Exchange;
  readonly route: NamedRoute;
  /** What stands in the path, decoded. @throws {TypeError} when the route has no such part */
  param(name: PathParameter): string;
  /** Who asks; of a route that is open, nobody. For a ticket: who made it. */
  readonly who: { user: string; via: string };
  /** Who asks, with groups, to ask for further rights; undefined for a ticket and on an open route. */
  readonly caller: Caller | undefined;
}
