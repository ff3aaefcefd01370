import type { DumpResource, DumpRight } from "../auth/access-review.ts";
import type { FilePart, Subresource } from "../group.ts";

/** A parameter of a route. */
export interface RouteParameter {
  name: string;
  in: "path" | "query";
  type: "string" | "integer" | "boolean";
  description: string;
}

/** One answer of a route, as the OpenAPI documents show it. */
export interface RouteAnswer {
  description: string;
  /** Name of the schema of a JSON answer. */
  schema?: string;
  /** The answer is an array of it. */
  isArray?: boolean;
  /** Content types of what is no object with a schema. */
  types?: readonly string[];
}

/**
 * Who may use a route.
 * - `open`: everybody.
 * - `path`: who may `get` the path itself, as discovery in every API server.
 * - `dump`: who has the right on the namespace and name in the path, in all namespaces where it names none; asked before
 *   anything is looked up.
 * - `ticket`: as `dump`, or who has a ticket for exactly this.
 * - `found`: who has the right on the dump that is found: the path names no namespace. Everybody else gets 404.
 */
export type RouteRight =
  | { asked: "open" }
  | { asked: "path" }
  | {
      asked: "dump" | "ticket" | "found";
      verb: DumpRight["verb"];
      /** Dumps, where it is not said. */
      resource?: DumpResource;
      subresource?: Subresource | FilePart;
    };

/** What Kubernetes' tools have to know of a route of the Kubernetes API. */
export interface KubernetesRoute {
  action: "list" | "watch" | "get" | "delete" | "deletecollection" | "patch" | "connect" | "post";
  kind: string;
  /** Discovery names its verb. */
  isAdvertised: boolean;
  /** Name of the body's schema. */
  body?: string;
  bodyType?: string;
}

/** Values of the label `route` of the metrics. */
export type Counted =
  | "list"
  | "watch"
  | "get"
  | "patch"
  | "groups"
  | "delete"
  | "bundle"
  | "core"
  | "report"
  | "link"
  | "buildid"
  | "rest"
  | "discovery"
  | "probe"
  | "page";

/** One thing that the server does: from it come the router, discovery, both OpenAPI documents and the metrics' names. */
export interface Route {
  method: "GET" | "DELETE" | "PATCH" | "POST";
  /** Template with `{name}` for what varies. HEAD is answered wherever GET is. */
  path: string;
  /** Only with this parameter in the query, as `1` or `true`; it stands before the route without. */
  flag?: string;
  counted: Counted;
  right: RouteRight;
  description: string;
  parameters: readonly RouteParameter[];
  answers: Readonly<Record<number, RouteAnswer>>;
  kubernetes?: KubernetesRoute;
  /** It is one of koredump's, and in their OpenAPI document. */
  isKoredumps?: boolean;
}
