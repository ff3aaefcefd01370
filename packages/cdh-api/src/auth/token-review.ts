import { createHmac, randomBytes } from "node:crypto";
import { tryRecord } from "@cdh/core/base/records";
import type { Clock } from "@cdh/core/clock";
import type { Caller } from "./caller.ts";
import { textsOf, type Cluster } from "./cluster.ts";
import { TtlCache } from "./ttl-cache.ts";

const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
/** Longer ones are no tokens. */
const TOKEN_MAX = 16 * 1024;
/** A token that is refused may become good soon, such as after its service account was made. */
const REFUSED_MS = 3000;

/** Ask the cluster whose token it is. */
export class TokenReviewer {
  readonly #cluster: Cluster;
  readonly #audiences: readonly string[];
  readonly #ttlMs: number;
  readonly #cache: TtlCache<Caller | undefined>;
  /** Tokens are remembered only by a keyed hash. */
  readonly #key = randomBytes(32);

  constructor(cluster: Cluster, clock: Clock, options: { audiences: readonly string[]; ttlMs: number }) {
    this.#cluster = cluster;
    this.#audiences = options.audiences;
    this.#ttlMs = options.ttlMs;
    this.#cache = new TtlCache(clock, 10_000);
  }

  /**
   * @param address where it comes from
   * @returns undefined when the token is no good here
   * @throws {ApiError} 429 when too many tokens from there wait, 503 when nobody can tell
   */
  async review(token: string, address: string): Promise<Caller | undefined> {
    // eslint-disable-next-line no-control-regex -- a header value holds none anyway
    if (token === "" || token.length > TOKEN_MAX || /[\s\u0000-\u001f]/.test(token)) return undefined;
    const key = createHmac("sha256", this.#key).update(token).digest("base64");
    return await this.#cache.get(
      key,
      () => this.#ask(token, address),
      (caller) => (caller === undefined ? Math.min(this.#ttlMs, REFUSED_MS) : this.#ttlMs),
    );
  }

  async #ask(token: string, address: string): Promise<Caller | undefined> {
    const audiences = this.#audiences;
    const status = await this.#cluster.review("tokens", address, PATH, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, ...(audiences.length === 0 ? {} : { audiences }) },
    });
    if (status["authenticated"] !== true) return undefined;
    // An API server that knows nothing of audiences names none: then nothing says that the token is for us.
    const found = textsOf(status["audiences"]);
    if (audiences.length > 0 && !audiences.some((audience) => found.includes(audience))) return undefined;
    const user = tryRecord(status["user"]);
    const name = user?.["username"];
    if (user === undefined || typeof name !== "string" || name === "") return undefined;
    const extra = Object.fromEntries(
      Object.entries(tryRecord(user["extra"]) ?? {}).map(([field, values]) => [field, textsOf(values)]),
    );
    return {
      user: name,
      ...(typeof user["uid"] === "string" ? { uid: user["uid"] } : {}),
      groups: textsOf(user["groups"]),
      extra,
      via: "token",
    };
  }
}
