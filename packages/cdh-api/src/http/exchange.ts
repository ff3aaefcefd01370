import type { IncomingMessage, ServerResponse } from "node:http";
import { addressOf } from "@cdh/core/connection-pool";
import { parseJson } from "@cdh/core/json";
import { ApiError, badRequest } from "./api-error.ts";

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  /** As sent, without the query. */
  readonly path: string;
  /** Decoded parts of the path, without empty ones. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  /** Where it comes from, for the audit. */
  readonly remoteAddress: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** Whose share of every limit it takes: the caller's (`shareOf`), and until they are known the address's. */
  share: string;
  /** Who asks, once that is known. */
  caller: { user: string; via: string } | undefined;
}

/** Longer bodies are none of ours. */
const BODY_MAX_BYTES = 64 * 1024;

/** @throws {ApiError} 400 when the path cannot be read */
export function openExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client is gone")));
  return {
    request,
    response,
    method: request.method ?? "GET",
    path,
    segments: path
      .split("/")
      .filter((part) => part !== "")
      .map(decode),
    query: new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1)),
    remoteAddress: request.socket.remoteAddress ?? "",
    signal: gone.signal,
    share: addressOf(request.socket),
    caller: undefined,
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest("the path is not properly encoded");
  }
}

/** Read a small JSON body; undefined when it is empty. @throws {ApiError} 400, 413 */
export async function readJson(exchange: Exchange): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of exchange.request) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > BODY_MAX_BYTES) throw new ApiError(413, "RequestEntityTooLarge", "the body is too large");
  }
  if (length === 0) return undefined;
  try {
    return parseJson(Buffer.concat(chunks));
  } catch {
    throw badRequest("the body is not JSON");
  }
}
