import { once } from "node:events";
import type { ApiError } from "../kube/api-error.ts";
import type { Exchange } from "./exchange.ts";

/** Headers of every answer. A page of ours replaces the policy by its own. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "strict-transport-security": "max-age=31536000",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** Begin an answer. */
export function begin(exchange: Exchange, status: number, headers: Readonly<Record<string, string | number>>): void {
  exchange.response.writeHead(status, { ...SECURITY_HEADERS, ...headers });
}

/** Answer with a text. */
export function sendText(
  exchange: Exchange,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  begin(exchange, status, { ...headers, "content-type": contentType, "content-length": bytes.length });
  exchange.response.end(exchange.method === "HEAD" ? undefined : bytes);
}

/** Answer with JSON. */
export function sendJson(
  exchange: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendText(exchange, status, "application/json", `${JSON.stringify(body)}\n`, headers);
}

/** Answer with a Status object. */
export function sendError(exchange: Exchange, error: ApiError): void {
  const retry = error.retryAfter === undefined ? {} : { "retry-after": String(error.retryAfter) };
  // What is left of a request that was refused is not read: the connection cannot be used again.
  const close = exchange.request.complete || exchange.method === "GET" || exchange.method === "HEAD";
  sendJson(exchange, error.status, error.toStatus(), {
    ...retry,
    ...error.headers,
    ...(close ? {} : { connection: "close" }),
  });
}

/**
 * Write a piece and wait until there is room for the next. A client that takes nothing for `stallMs` is cut off.
 * @throws the signal's reason when the client is gone
 */
export async function writePiece(exchange: Exchange, piece: Uint8Array | string, stallMs: number): Promise<void> {
  const { response, signal } = exchange;
  signal.throwIfAborted();
  if (response.write(piece)) return;
  const timer = setTimeout(() => response.destroy(), stallMs);
  try {
    await once(response, "drain", { signal });
  } finally {
    clearTimeout(timer);
  }
}
