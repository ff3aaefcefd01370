import type { IncomingHttpHeaders } from "node:http";

/** What is known of the thing that is sent. */
export interface Validators {
  /** With its quotes; strong. */
  etag: string;
  /** Epoch milliseconds. */
  modifiedAt: number;
}

/** Bytes `start` to `end`, the end not included. */
export interface Span {
  start: number;
  end: number;
}

/** How a request is to be answered. */
export type RangePlan = { status: 200 | 206; span: Span } | { status: 304 | 412 | 416 };

/** Work out what to send, as HTTP has it. @see RFC 9110, 13.2.2 and 14 */
export function planRange(headers: IncomingHttpHeaders, validators: Validators, sizeBytes: number): RangePlan {
  const { etag, modifiedAt } = validators;
  const ifMatch = headers["if-match"];
  const unmodified = dateOf(headers["if-unmodified-since"]);
  const whole = Math.floor(modifiedAt / 1000) * 1000;
  if (ifMatch === undefined ? unmodified !== undefined && whole > unmodified : !lists(ifMatch, etag)) {
    return { status: 412 };
  }
  const ifNoneMatch = headers["if-none-match"];
  const modified = dateOf(headers["if-modified-since"]);
  if (ifNoneMatch === undefined ? modified !== undefined && whole <= modified : listsWeakly(ifNoneMatch, etag)) {
    return { status: 304 };
  }
  const all = { status: 200, span: { start: 0, end: sizeBytes } } as const;
  const range = headers.range;
  if (range === undefined) return all;
  const ifRange = headers["if-range"];
  if (typeof ifRange === "string" && ifRange !== etag && dateOf(ifRange) !== whole) return all;
  const span = spanOf(range, sizeBytes);
  if (span === undefined) return all;
  return span === "none" ? { status: 416 } : { status: 206, span };
}

/** @returns undefined for what we need not understand, such as several ranges; "none" when nothing of it is there */
function spanOf(range: string, sizeBytes: number): Span | "none" | undefined {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(range);
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "") {
    if (last === "") return undefined;
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? "none" : { start: sizeBytes - length, end: sizeBytes };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return undefined;
  if (start >= sizeBytes) return "none";
  return { start, end: last === "" ? sizeBytes : Math.min(sizeBytes, Number(last) + 1) };
}

function lists(header: string, etag: string): boolean {
  return header.trim() === "*" || header.split(",").some((tag) => tag.trim() === etag);
}

/** A proxy that compresses makes our tags weak. */
function listsWeakly(header: string, etag: string): boolean {
  return lists(header.replaceAll(/\bW\/(?=")/g, ""), etag);
}

function dateOf(header: string | string[] | undefined): number | undefined {
  if (typeof header !== "string" || !header.endsWith("GMT")) return undefined;
  const ms = Date.parse(header);
  return Number.isNaN(ms) ? undefined : ms;
}
