import { CdhError, type ErrorCode } from "../base/errors.ts";
import { explainNetwork } from "./network-errors.ts";

/** What a store's error means for the reader. */
export interface Explanation {
  code: ErrorCode;
  reason: string;
  hint?: string;
}

/** What lies under the key is something else: the condition of a request was not met. */
export const OTHER_CONTENT: Explanation = { code: "CDH_STORE_CONFLICT", reason: "other content lies there" };

/** Make the errors of one attempt, whatever the store. */
export class StoreFailure {
  readonly #tried: string;
  readonly #cause: unknown;
  readonly #details: Record<string, unknown>;

  /**
   * @param cause what was thrown
   * @param tried what was tried, and where: `store team-a/x.zip`, the store's URL
   * @param details what every error of this attempt carries; what is undefined is left out
   */
  constructor(cause: unknown, tried: { what: string; where: string }, details: Record<string, unknown>) {
    this.#cause = cause;
    this.#tried = `cannot ${tried.what} in ${tried.where}`;
    this.#details = Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
  }

  /** The error that an explanation makes. */
  explained({ code, reason, hint }: Explanation, more: Record<string, unknown> = {}): CdhError {
    return new CdhError(code, `${this.#tried}: ${reason}`, {
      cause: this.#cause,
      details: { ...this.#details, ...more },
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /**
   * The error when the network or TLS failed; undefined for any other cause.
   * @param noHostHint what to do when there is no such host, in place of a look at the endpoint
   */
  unreachable(noHostHint?: string): CdhError | undefined {
    const network = explainNetwork(this.#cause);
    if (network === undefined) return undefined;
    const { errno, reason } = network;
    const hint = errno === "ENOTFOUND" ? (noHostHint ?? network.hint) : network.hint;
    return this.explained({ code: "CDH_STORE_UNREACHABLE", reason, hint }, errno === undefined ? {} : { errno });
  }
}

/**
 * Say what an HTTP status means whose code is not in the store's own table.
 * @param answer the store's code and message, as far as it sent them
 * @param deniedHint which right to give
 */
export function explainStatus(
  status: number,
  { code, message }: { code: string | undefined; message: string },
  deniedHint: string,
): Explanation {
  const line = firstLine(message);
  const words = `HTTP ${status}${code === undefined ? "" : ` ${code}`}${line === "" || line === code ? "" : `: ${line}`}`;
  if (status === 401 || status === 403)
    return { code: "CDH_STORE_DENIED", reason: `access denied (${words})`, hint: deniedHint };
  if (status === 412) return OTHER_CONTENT;
  // Only these speak about the very object; everything else may pass, and must never count against a bundle.
  if ([413, 414, 431].includes(status)) return { code: "CDH_STORE_REFUSED", reason: `refused: ${words}` };
  return { code: "CDH_STORE", reason: words };
}

/** The first line of a text that others wrote. */
export function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
