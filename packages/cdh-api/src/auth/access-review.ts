import type { Clock } from "@cdh/core/clock";
import {
  GROUP,
  RESOURCE,
  VERSION_NAME,
  type FILE_NAMES_RESOURCE,
  type FILE_RESOURCE,
  type GROUP_RESOURCE,
} from "../group.ts";
import { forbidden } from "../http/api-error.ts";
import { shareOf, type Caller } from "./caller.ts";
import type { Cluster } from "./cluster.ts";
import { TtlCache } from "./ttl-cache.ts";

const PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/** A right that was just given should work soon. */
const DENIED_MS = 3000;

/** What rights are about. */
export type DumpResource = typeof RESOURCE | typeof GROUP_RESOURCE | typeof FILE_RESOURCE | typeof FILE_NAMES_RESOURCE;

/** What is asked for. `namespace` empty: all of them. */
export interface DumpRight {
  verb: "get" | "list" | "watch" | "create" | "patch" | "delete" | "deletecollection";
  namespace: string;
  name?: string;
  /** Dumps, where it is not said. */
  resource?: DumpResource;
  subresource?: string;
}

/** A path that is no resource: discovery and the like. */
export interface PathRight {
  verb: "get";
  path: string;
}

/** Ask the cluster whether a caller may do something: its own RBAC decides, for each request on exactly what it names. */
export class AccessReviewer {
  readonly #cluster: Cluster;
  readonly #ttlMs: number;
  readonly #cache: TtlCache<boolean>;

  constructor(cluster: Cluster, clock: Clock, options: { ttlMs: number }) {
    this.#cluster = cluster;
    this.#ttlMs = options.ttlMs;
    this.#cache = new TtlCache(clock, 10_000);
  }

  /** @throws {ApiError} 403 when not allowed, 503 when nobody can tell */
  async check(caller: Caller, right: DumpRight | PathRight): Promise<void> {
    if (await this.may(caller, right)) return;
    throw forbidden(
      messageOf(caller, right),
      "path" in right
        ? {}
        : { ...(right.name === undefined ? {} : { name: right.name }), kind: right.resource ?? RESOURCE },
    );
  }

  /** @throws {ApiError} 503 when nobody can tell */
  async may(caller: Caller, right: DumpRight | PathRight): Promise<boolean> {
    const spec = specOf(caller, right);
    return await this.#cache.get(
      JSON.stringify(spec),
      async () => {
        const kind = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview" };
        const status = await this.#cluster.review("rights", shareOf(caller.user), PATH, { ...kind, spec });
        return status["allowed"] === true && status["denied"] !== true;
      },
      (allowed) => (allowed ? this.#ttlMs : Math.min(this.#ttlMs, DENIED_MS)),
    );
  }
}

function specOf(caller: Caller, right: DumpRight | PathRight): Record<string, unknown> {
  return {
    user: caller.user,
    ...(caller.uid === undefined ? {} : { uid: caller.uid }),
    groups: caller.groups,
    extra: caller.extra,
    ...("path" in right
      ? { nonResourceAttributes: right }
      : {
          resourceAttributes: {
            group: GROUP,
            version: VERSION_NAME,
            resource: right.resource ?? RESOURCE,
            verb: right.verb,
            namespace: right.namespace,
            ...(right.subresource === undefined ? {} : { subresource: right.subresource }),
            ...(right.name === undefined ? {} : { name: right.name }),
          },
        }),
  };
}

function messageOf(caller: Caller, right: DumpRight | PathRight): string {
  const user = `User ${JSON.stringify(caller.user)}`;
  if ("path" in right) return `${user} cannot ${right.verb} path ${JSON.stringify(right.path)}`;
  const resource = right.resource ?? RESOURCE;
  const what = right.subresource === undefined ? resource : `${resource}/${right.subresource}`;
  const named = right.name === undefined ? "" : ` ${JSON.stringify(right.name)}`;
  const where = right.namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(right.namespace)}`;
  return `${resource}.${GROUP}${named} is forbidden: ${user} cannot ${right.verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(GROUP)} ${where}`;
}
