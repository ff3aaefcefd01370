import { request } from "node:http";
import { gcpMetadata, GoogleAuth } from "google-auth-library";
import { reasonOf } from "../../base/errors.ts";
import type { Agents } from "../agents.ts";

/** Reading and writing objects; and signing links in the identity's own name. */
const SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write", "https://www.googleapis.com/auth/iam"];
/**
 * No request of ours names a project. Without one the library looks it up; for a federated identity that is a request to
 * another service, whose refusal would leave it without a token.
 */
const NO_PROJECT = "none";
/** What the library says when it found nothing, and no service of metadata. */
const NO_CREDENTIALS = "Could not load the default credentials";
/** Where the service of metadata answers in Google's cloud. */
const METADATA_HOST = "169.254.169.254";
/** It is on the node itself. */
const METADATA_MS = 2000;

/** Says that no token could be got. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  /** What the service of metadata answers, where the library found no credentials; undefined: it does not answer. */
  readonly metadataStatus: number | undefined;

  constructor(message: string, options: { cause: unknown; metadataStatus: number | undefined }) {
    super(message, options);
    this.metadataStatus = options.metadataStatus;
  }
}

/** Get tokens by Google's library. */
export class GcsTokens {
  readonly #agents: Agents;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #keyFile: string | undefined;
  #auth: GoogleAuth | undefined;

  /** @param keyFile where the identity is read from; absent: as Google's tools find one */
  constructor(agents: Agents, env: Readonly<Record<string, string | undefined>>, keyFile?: string) {
    this.#agents = agents;
    this.#env = env;
    this.#keyFile = keyFile;
  }

  /** The library's object, for signing. */
  get auth(): GoogleAuth {
    if (this.#auth === undefined) {
      this.#auth = new GoogleAuth({
        scopes: SCOPES,
        projectId: NO_PROJECT,
        ...(this.#keyFile === undefined ? {} : { keyFilename: this.#keyFile }),
      });
      // A key signs its own tokens: no service has to be asked for them.
      this.#auth.useJWTAccessWithScope = true;
    }
    return this.#auth;
  }

  /** Make the headers that carry a token. @throws {TokenError} */
  async headers(url: string): Promise<[string, string][]> {
    return await this.use(async (auth) => [...(await auth.getRequestHeaders(url)).entries()]);
  }

  /** Do something with the library that needs credentials. @throws {TokenError} */
  async use<T>(work: (auth: GoogleAuth) => Promise<T>): Promise<T> {
    try {
      return await work(this.auth);
    } catch (error) {
      const isNone = reasonOf(error).includes(NO_CREDENTIALS);
      // It remembers for ever that it found no service of metadata: one that was away for a moment would never be asked again.
      this.#auth = undefined;
      gcpMetadata.resetIsAvailableCache();
      const metadataStatus = isNone ? await this.#metadataStatus() : undefined;
      throw new TokenError(reasonOf(error), { cause: error, metadataStatus });
    }
  }

  /** Ask the service of metadata whether it is there: the library says only that there are no credentials. */
  async #metadataStatus(): Promise<number | undefined> {
    const host = this.#env["GCE_METADATA_HOST"] ?? this.#env["GCE_METADATA_IP"] ?? METADATA_HOST;
    if (!URL.canParse(`http://${host}`)) return undefined;
    return await new Promise((resolve) => {
      const outgoing = request(`http://${host}/computeMetadata/v1/instance`, {
        agent: this.#agents.http,
        headers: { "metadata-flavor": "Google" },
        signal: AbortSignal.timeout(METADATA_MS),
      });
      outgoing.once("response", (answer) => {
        answer.destroy();
        resolve(
          answer.headers["metadata-flavor"] === "Google" || answer.statusCode !== 200 ? answer.statusCode : undefined,
        );
      });
      outgoing.once("error", () => resolve(undefined));
      outgoing.end();
    });
  }
}
