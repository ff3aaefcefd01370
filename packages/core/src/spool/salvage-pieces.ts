import { promisify } from "node:util";
import { constants, crc32, inflateRaw, zstdDecompress, type ZlibOptions, type ZstdOptions } from "node:zlib";
import { errnoOf } from "../base/errors.ts";
import type { Compression } from "../bundle/manifest.ts";
import { tryZstdFrameBytes } from "../bundle/zstd-frame-length.ts";
import { FRAME_BYTES } from "../bundle/zstd-frames.ts";
import type { SalvageWindow } from "./salvage-window.ts";

/** A part of the core that is whole in a torn bundle. */
export interface CorePiece {
  /** What it takes in the entry, as it stands there; valid until the next piece. */
  stored: Uint8Array;
  /** The core's bytes; valid until the next piece. */
  core: Uint8Array;
}

/**
 * Find what is whole of the core's entry, from its start up to the first byte that does not fit. Whatever stands behind
 * it (a torn piece, the entry's end, other entries) is not looked at.
 * @param offset where the entry's data begins in the file
 */
export function salvagePieces(
  window: SalvageWindow,
  offset: number,
  compression: Compression,
): AsyncGenerator<CorePiece, void> {
  if (compression === "zstd") return zstdPieces(window, offset);
  return compression === "deflate" ? deflatePieces(window, offset) : plainPieces(window, offset);
}

const unzstd: (bytes: Uint8Array, options: ZstdOptions) => Promise<Buffer> = promisify(zstdDecompress);
const inflate: (bytes: Uint8Array, options: ZlibOptions) => Promise<Buffer> = promisify(inflateRaw);

async function* zstdPieces(window: SalvageWindow, offset: number): AsyncGenerator<CorePiece, void> {
  for (let at = offset; ;) {
    const bytes = await window.from(at);
    const length = tryZstdFrameBytes(bytes);
    if (length === undefined) return;
    const stored = bytes.subarray(0, length);
    // The frame's own checksum is checked here: what a power cut left as zeros does not pass.
    const core = await unzstd(stored, { maxOutputLength: FRAME_BYTES }).catch(() => undefined);
    if (core === undefined) return;
    yield { stored, core };
    at += length;
  }
}

/** What a flushed piece of a deflate stream ends with: an empty stored block. @see RFC 1951, 3.2.4 */
const FLUSH_MARK = Buffer.of(0x00, 0x00, 0xff, 0xff);
/** An empty final block: a stream that goes through with it behind was at the end of a block. */
const DEFLATE_END = Buffer.of(0x03, 0x00);
/** Memory may hold the mark itself. So many from the end are tried as the end of a last, short piece. */
const LAST_MARKS = 64;

async function* deflatePieces(window: SalvageWindow, offset: number): AsyncGenerator<CorePiece, void> {
  for (let at = offset; ;) {
    const piece = await deflatePieceAt(await window.from(at));
    if (piece === undefined) return;
    yield piece;
    at += piece.stored.length;
    if (piece.core.length < FRAME_BYTES) return;
  }
}

/**
 * Composers flush after each mebibyte. The first mark is nearly always the end of it; where memory holds the mark too,
 * the end is searched by how much comes out before it, which only grows.
 */
async function deflatePieceAt(bytes: Buffer): Promise<CorePiece | undefined> {
  const ends = marksIn(bytes);
  const first = await inflateUpTo(bytes, ends[0]);
  if (first?.core.length === FRAME_BYTES) return first;
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((await outputBytes(bytes.subarray(0, ends[middle]))) >= FRAME_BYTES) high = middle;
    else low = middle + 1;
  }
  const whole = await inflateUpTo(bytes, ends[low]);
  if (whole?.core.length === FRAME_BYTES) return whole;
  // No whole mebibyte any more: the last piece of the core is short.
  for (const end of ends.slice(-LAST_MARKS).reverse()) {
    const last = await inflateUpTo(bytes, end);
    // The end mark must have added nothing: in the middle of a block it could have been read as data.
    if (last !== undefined && last.core.length > 0 && (await outputBytes(last.stored)) === last.core.length)
      return last;
  }
  return undefined;
}

function marksIn(bytes: Buffer): number[] {
  const ends: number[] = [];
  for (let at = bytes.indexOf(FLUSH_MARK); at !== -1; at = bytes.indexOf(FLUSH_MARK, at + 1)) {
    ends.push(at + FLUSH_MARK.length);
  }
  return ends;
}

/** Decode up to an end; undefined when that is not the end of a block. */
async function inflateUpTo(bytes: Buffer, end: number | undefined): Promise<CorePiece | undefined> {
  if (end === undefined) return undefined;
  const stored = bytes.subarray(0, end);
  const whole = Buffer.concat([stored, DEFLATE_END]);
  const core = await inflate(whole, { maxOutputLength: FRAME_BYTES }).catch(() => undefined);
  return core === undefined ? undefined : { stored, core };
}

/** Tell how much comes out of a prefix; more than a mebibyte, or damage, counts as more. */
async function outputBytes(prefix: Uint8Array): Promise<number> {
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: FRAME_BYTES };
  const out = await inflate(prefix, options).catch((error: unknown) => errnoOf(error) ?? "failed");
  return typeof out === "string" ? Number.POSITIVE_INFINITY : out.length;
}

const DESCRIPTOR_MARK = Buffer.of(0x50, 0x4b, 0x07, 0x08);
const DESCRIPTOR_BYTES = 24;

/** A plain core has no marks of its own. Where a data descriptor names just this length and sum, it ends. */
async function* plainPieces(window: SalvageWindow, offset: number): AsyncGenerator<CorePiece, void> {
  let sum = 0;
  for (let at = offset; ;) {
    const bytes = await window.from(at);
    const piece = bytes.subarray(0, FRAME_BYTES);
    const end = endIn(bytes, piece.length, at - offset, sum);
    const core = piece.subarray(0, end);
    if (core.length > 0) yield { stored: core, core };
    if (end !== undefined || piece.length < FRAME_BYTES) return;
    sum = crc32(core, sum);
    at += core.length;
  }
}

/** Find the data descriptor that ends a plain entry. @see APPNOTE.TXT 4.3.9 */
function endIn(bytes: Buffer, length: number, before: number, sum: number): number | undefined {
  for (let at = bytes.indexOf(DESCRIPTOR_MARK); at !== -1 && at < length; at = bytes.indexOf(DESCRIPTOR_MARK, at + 1)) {
    const descriptor = bytes.subarray(at, at + DESCRIPTOR_BYTES);
    if (descriptor.length < 12) return undefined;
    const size = before + at;
    const isWide = descriptor.length === DESCRIPTOR_BYTES && descriptor.readBigUInt64LE(8) === BigInt(size);
    if (
      (descriptor.readUInt32LE(8) === size || isWide) &&
      descriptor.readUInt32LE(4) === crc32(bytes.subarray(0, at), sum)
    )
      return at;
  }
  return undefined;
}
