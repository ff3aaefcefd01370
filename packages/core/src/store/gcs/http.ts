import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { parseJson, tryParseJson } from "../../base/json.ts";
import type { Agents } from "../agents.ts";
import { readAnswer } from "../answers.ts";
import type { FileBody } from "../file-body.ts";
import type { GcsTokens } from "./tokens.ts";

/** An answer of the service that is no success. */
export class GcsError extends Error {
  override readonly name = "GcsError";
  /** Google's word for it: `conditionNotMet`; absent where the answer has none. */
  readonly reason: string | undefined;
  readonly httpStatus: number;

  constructor(httpStatus: number, message: string, reason: string | undefined) {
    super(message);
    this.httpStatus = httpStatus;
    this.reason = reason;
  }
}

/** One request. */
export interface GcsRequest {
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** Absolute. */
  url: string;
  headers?: Record<string, string>;
  body?: Uint8Array | FileBody;
  /** Bytes of a {@link FileBody}. */
  bodyBytes?: number;
  /** Send no token: the URL itself is the permission. */
  isOpen?: boolean;
  abortSignal: AbortSignal;
}

/** An answer whose body was not read yet. */
export interface GcsAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: IncomingMessage;
}

/** Of an error's text no more is read. */
const ERROR_MAX_BYTES = 64 * 1024;

/** Speak the JSON API, over the store's own connections and with the library's tokens. */
export class GcsHttp {
  readonly #tokens: GcsTokens | undefined;
  readonly #agents: Agents;

  /** @param tokens absent where requests carry none */
  constructor(tokens: GcsTokens | undefined, agents: Agents) {
    this.#tokens = tokens;
    this.#agents = agents;
  }

  /** Send a request. @returns the answer, whatever its status; its body must be read or destroyed */
  async send(request: GcsRequest): Promise<GcsAnswer> {
    const { method, url, body, bodyBytes, abortSignal, isOpen = false } = request;
    const token = isOpen || this.#tokens === undefined ? [] : await this.#tokens.headers(url);
    abortSignal.throwIfAborted();
    const length = body instanceof Uint8Array ? body.length : bodyBytes;
    const headers = {
      ...Object.fromEntries(token),
      ...request.headers,
      ...(length === undefined
        ? method === "GET"
          ? {}
          : { "content-length": "0" }
        : { "content-length": String(length) }),
    };
    const isTls = url.startsWith("https:");
    const agent = isTls ? this.#agents.https : this.#agents.http;
    return await new Promise((resolve, reject) => {
      const outgoing = (isTls ? httpsRequest : httpRequest)(url, { method, headers, agent, signal: abortSignal });
      outgoing.once("response", (answer) => {
        // Until somebody reads it, its failure must not look unhandled.
        answer.on("error", () => {});
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: answer });
      });
      outgoing.once("error", reject);
      if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
      else body.pipe(outgoing);
    });
  }

  /** Send a request whose answer has nothing to say. @throws {GcsError} for any status but 2xx */
  async done(request: GcsRequest): Promise<void> {
    const answer = await this.send(request);
    if (!isSuccess(answer)) throw await errorOf(answer);
    answer.body.resume();
  }

  /** Send a request whose answer is JSON. @throws {GcsError} for any status but 2xx */
  async json(request: GcsRequest): Promise<{ value: Record<string, unknown>; headers: IncomingHttpHeaders }> {
    const answer = await this.send(request);
    if (!isSuccess(answer)) throw await errorOf(answer);
    const text = await readAnswer(answer.body);
    if (text === "") return { value: {}, headers: answer.headers };
    const value = parseJson(text);
    if (typeof value !== "object" || value === null) throw new SyntaxError("the answer is no JSON object");
    return { value: value as Record<string, unknown>, headers: answer.headers };
  }
}

/** Tell whether an answer says that the work is done. */
export function isSuccess({ status }: GcsAnswer): boolean {
  return status >= 200 && status < 300;
}

/** Read what went wrong. */
export async function errorOf({ status, body }: GcsAnswer): Promise<GcsError> {
  const text = await readAnswer(body, ERROR_MAX_BYTES).catch(() => "");
  const told = (tryParseJson(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } } | undefined)
    ?.error;
  const reason = told?.errors?.[0]?.reason;
  if (typeof told?.message === "string")
    return new GcsError(status, told.message, typeof reason === "string" ? reason : undefined);
  // XML, as uploads may have it, or a proxy's page.
  const code = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(text)?.[1];
  return new GcsError(status, text.slice(0, 200), code);
}
