import type { AppContext } from "../call/app-context.ts";
import type { Subresource } from "../group.ts";
import { ApiError } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { begin, writePiece } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { planRange, type Span, type Validators } from "./range.ts";

/** Something that is sent in pieces. */
export interface Body {
  record: Pick<DumpRecord, "namespace" | "name">;
  subresource: Subresource | "buildid";
  /** For the audit: who gets it, and how we know them. */
  user: string;
  via: string;
  contentType: string;
  fileName: string;
  validators: Validators;
  /** Undefined when it is known only at the end: then there are no ranges. */
  sizeBytes: number | undefined;
  /** Of the answer, besides what every download has. */
  headers?: Readonly<Record<string, string>>;
  /** Open the bytes that are wanted. */
  open: (span: Span, signal: AbortSignal) => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;
}

/**
 * Send a body or a range of it, with an audit line at its end, however that comes.
 * @throws {ApiError} 304 and 412 and 416 are answered here; what fails before the first byte is thrown
 */
export async function sendBody(app: AppContext, exchange: Exchange, body: Body): Promise<void> {
  const { request, response } = exchange;
  const { validators, sizeBytes } = body;
  const headers = {
    "accept-ranges": sizeBytes === undefined ? "none" : "bytes",
    etag: validators.etag,
    "last-modified": new Date(validators.modifiedAt).toUTCString(),
    // It may be kept by the one who asked, but asks again each time: rights can be taken away.
    "cache-control": "private, no-cache",
  };
  const end = sizeBytes ?? Number.MAX_SAFE_INTEGER;
  const plan = planRange(sizeBytes === undefined ? withoutRange(request.headers) : request.headers, validators, end);
  if (!("span" in plan)) {
    if (plan.status === 304) {
      begin(exchange, 304, headers);
      return void response.end();
    }
    if (plan.status === 412) throw new ApiError(412, "PreconditionFailed", "it is another one by now");
    throw new ApiError(416, "RequestedRangeNotSatisfiable", "nothing of it is in that range", {
      headers: { "content-range": `bytes */${end}`, "accept-ranges": "bytes", etag: validators.etag },
    });
  }
  const { span, status } = plan;
  const answer: Record<string, string> = {
    ...headers,
    ...body.headers,
    "content-type": body.contentType,
    "content-disposition": `attachment; filename="${body.fileName.replaceAll(/[^\w.-]/g, "_")}"`,
    ...(sizeBytes === undefined ? {} : { "content-length": String(span.end - span.start) }),
    ...(status === 206 ? { "content-range": `bytes ${span.start}-${span.end - 1}/${end}` } : {}),
  };
  if (exchange.method === "HEAD") {
    begin(exchange, status, answer);
    return void response.end();
  }
  await sendPieces(app, exchange, body, { status, span, headers: answer });
}

async function sendPieces(
  app: AppContext,
  exchange: Exchange,
  body: Body,
  plan: { status: number; span: Span; headers: Record<string, string> },
): Promise<void> {
  const { clock, log, metrics } = app;
  const began = clock.monotonic();
  let sentBytes = 0;
  let isWhole = false;
  let status = plan.status;
  try {
    const pieces = await body.open(plan.span, exchange.signal);
    begin(exchange, plan.status, plan.headers);
    for await (const piece of pieces) {
      await writePiece(exchange, piece, app.settings.stallTimeoutMs);
      sentBytes += piece.length;
    }
    // What a client takes for whole must be whole: a body that ended too early ends the connection instead.
    if (body.sizeBytes !== undefined && sentBytes !== plan.span.end - plan.span.start)
      throw new Error("it is cut short");
    isWhole = await finish(exchange);
  } catch (error) {
    if (!exchange.response.headersSent) {
      status = 0;
      throw error;
    }
    exchange.response.destroy();
    if (!exchange.signal.aborted) throw error;
  } finally {
    metrics.download(body.subresource, sentBytes, isWhole);
    log.info("download", {
      audit: true,
      user: body.user,
      via: body.via,
      namespace: body.record.namespace,
      name: body.record.name,
      subresource: body.subresource,
      from: exchange.remoteAddress,
      ...forwardedFor(exchange, body.via),
      status,
      offset: plan.span.start,
      sentBytes,
      isWhole,
      durationMs: Math.round(clock.monotonic() - began),
    });
  }
}

/** End the answer and wait until the connection has taken it. */
async function finish(exchange: Exchange): Promise<boolean> {
  const { response } = exchange;
  return await new Promise((resolve) => {
    response.once("finish", () => resolve(true));
    response.once("close", () => resolve(response.writableFinished));
    response.end();
  });
}

/** The aggregator says for whom it asks; anybody else could write what they like. */
function forwardedFor(exchange: Exchange, via: string): Record<string, string> {
  const header = exchange.request.headers["x-forwarded-for"];
  return via === "frontProxy" && typeof header === "string" ? { forwardedFor: header.slice(0, 200) } : {};
}

function withoutRange(headers: Exchange["request"]["headers"]): Exchange["request"]["headers"] {
  const { range: _range, ...others } = headers;
  return others;
}
