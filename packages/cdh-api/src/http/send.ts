import { once } from "node:events";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGzip, gzip as gzipWhole } from "node:zlib";
import { timerMs } from "@cdh/core/clock";
import type { ApiError } from "./api-error.ts";
import { hasClientCertificate } from "./client-certificate.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";

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

/** What bounds answers in pieces. */
export interface AnswerLimits {
  readonly gates: { readonly longAnswers: Gate };
  readonly settings: { readonly stallTimeoutMs: number };
}

/** Compressing less than this saves no packet. */
const PACK_FROM_BYTES = 4096;
const pack = promisify(gzipWhole);

/** Answer with a text that is whole in memory, compressed for whoever takes that. */
export async function sendPacked(exchange: Exchange, contentType: string, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  const vary = { vary: "accept-encoding" };
  if (bytes.length < PACK_FROM_BYTES || !takesGzip(exchange)) return sendText(exchange, 200, contentType, bytes, vary);
  sendText(exchange, 200, contentType, await pack(bytes), { ...vary, "content-encoding": "gzip" });
}

/** Answer with a Status object. */
export function sendError(exchange: Exchange, error: ApiError): void {
  const retry = error.retryAfter === undefined ? {} : { "retry-after": String(error.retryAfter) };
  // What is left of a request that was refused is not read: the connection cannot be used again.
  const isRead = exchange.request.complete || exchange.method === "GET" || exchange.method === "HEAD";
  // A certificate was judged when the connection was made: by tomorrow's authorities only another connection can be.
  const isJudged = error.status === 401 && hasClientCertificate(exchange.request);
  sendJson(exchange, error.status, error.toStatus(), {
    ...retry,
    ...error.headers,
    ...(isRead && !isJudged ? {} : { connection: "close" }),
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
  const timer = setTimeout(() => response.destroy(), timerMs(stallMs));
  try {
    await once(response, "drain", { signal });
  } finally {
    clearTimeout(timer);
  }
}

/** What bounds answers in pieces. */
export interface AnswerLimits {
  readonly gates: { readonly longAnswers: Gate };
  readonly settings: { readonly stallTimeoutMs: number };
}

/** Compressing less than this saves nobody time; Kubernetes' own server draws the line there too. */
const COMPRESS_FROM_BYTES = 128 * 1024;

/**
 * Answer with what comes in pieces, at the client's pace. A long text is compressed for whoever takes that: a list of
 * everything then is a twentieth.
 * @throws {ApiError} 429 when the caller has too many long answers under way
 */
export async function sendInPieces(
  limits: AnswerLimits,
  exchange: Exchange,
  headers: Readonly<Record<string, string>>,
  pieces: Iterable<string | Uint8Array>,
): Promise<void> {
  const { response, method } = exchange;
  if (method === "HEAD") {
    begin(exchange, 200, { ...headers, vary: "accept-encoding" });
    return void response.end();
  }
  const source = pieces[Symbol.iterator]();
  const first: (string | Uint8Array)[] = [];
  let length = 0;
  let isWhole = false;
  while (length < COMPRESS_FROM_BYTES && !isWhole) {
    const { value, done } = source.next();
    isWhole = done === true;
    if (done !== true) {
      first.push(value);
      length += value.length;
    }
  }
  const texts = (function* () {
    yield* first;
    for (let next = source.next(); next.done !== true; next = source.next()) yield next.value;
  })();
  const isLong = !isWhole;
  const answer = (): Promise<void> => sendTexts(limits, exchange, headers, { texts, isLong });
  await (isLong ? limits.gates.longAnswers.run(exchange.share, answer) : answer());
}

async function sendTexts(
  limits: AnswerLimits,
  exchange: Exchange,
  headers: Readonly<Record<string, string>>,
  { texts, isLong }: { texts: Iterable<string | Uint8Array>; isLong: boolean },
): Promise<void> {
  const { stallTimeoutMs } = limits.settings;
  const isCompressed = isLong && takesGzip(exchange);
  begin(exchange, 200, {
    ...headers,
    vary: "accept-encoding",
    ...(isCompressed ? { "content-encoding": "gzip" } : {}),
  });
  if (isCompressed) for await (const piece of compressed(texts)) await writePiece(exchange, piece, stallTimeoutMs);
  else for (const piece of texts) await writePiece(exchange, piece, stallTimeoutMs);
  exchange.response.end();
}

function takesGzip({ request }: Exchange): boolean {
  const accepted = request.headers["accept-encoding"];
  return typeof accepted === "string" && /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:,|$))/.test(accepted.toLowerCase());
}

async function* compressed(texts: Iterable<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(texts, { objectMode: false });
  const gzip = createGzip({ level: 1 });
  source.on("error", (error) => gzip.destroy(error));
  source.pipe(gzip);
  try {
    for await (const piece of gzip) yield piece as Uint8Array;
  } finally {
    source.destroy();
    gzip.destroy();
  }
}
