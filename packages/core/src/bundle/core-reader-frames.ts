import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import { createZstdDecompress, zstdDecompress } from "node:zlib";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CdhError } from "../errors.ts";
import type { CoreChunk, CoreReader } from "./core-reader.ts";
import { clamp, sequentialCore, type StoredBytes } from "./core-reader-plain.ts";
import { free, OUTPUT_SLACK_BYTES } from "./free-buffer.ts";
import { FRAME_BYTES, tryDecodeSeekTable, tryReadSeekTableBytes, type FrameSize } from "./zstd-frames.ts";

const decompress = promisify(zstdDecompress);

/** Composers write frames of 1 MiB; other tools may write larger ones, but a reader holds several in memory. */
const FRAME_MAX_BYTES = 8 * FRAME_BYTES;
/** Eight million frames: a core of 8 TiB. */
const TABLE_MAX_BYTES = 64 * 1024 * 1024;
/** Frames that are fetched in one read: few requests to a store, little memory. */
const FETCH_BYTES = 2 * 1024 * 1024;
const STREAM_BYTES = 1024 * 1024;
/** Decoded frames kept for small reads that fall into the same place. */
const FRAMES_KEPT = 8;

/**
 * Read a core of independent zstd frames by its seek table; without a table, as one stream.
 * @throws {CdhError} CDH_BUNDLE_SEEK_TABLE when the table lies, CDH_BUNDLE_BOMB when a frame is too large to hold
 */
export async function framedCore(stored: StoredBytes): Promise<CoreReader> {
  const table = await readSeekTable(stored);
  if (table === undefined)
    return sequentialCore({
      layout: "zstd",
      name: stored.name,
      storedBytes: stored.sizeBytes,
      open: (signal, onStoredBytes) => zstdStream(stored, signal, onStoredBytes),
    });
  const { frames, storedOffsets, coreOffsets } = table;
  const sizeBytes = coreOffsets[frames.length] ?? 0;
  const kept = new Map<number, Promise<Buffer>>();

  const decodeFrame = (index: number, bytes: Buffer): Promise<Buffer> =>
    decodeOne(stored, index, bytes, frames[index]?.coreBytes ?? 0);
  const frameAt = (index: number, signal?: AbortSignal): Promise<Buffer> => {
    const known = kept.get(index);
    if (known !== undefined) return known;
    const frame = stored
      .read(storedOffsets[index] ?? 0, frames[index]?.storedBytes ?? 0, signal)
      .then((bytes) => decodeFrame(index, bytes));
    frame.catch(() => kept.delete(index));
    kept.set(index, frame);
    for (const oldest of kept.keys()) {
      if (kept.size <= FRAMES_KEPT) break;
      kept.delete(oldest);
    }
    return frame;
  };

  return {
    layout: "frames",
    name: stored.name,
    sizeBytes,
    storedBytes: stored.sizeBytes,
    read: async (offset, length, signal) => {
      const wanted = clamp(offset, length, sizeBytes);
      const parts: Buffer[] = [];
      for (let at = offset; at < offset + wanted;) {
        const index = frameIndexOf(coreOffsets, at);
        const frame = await frameAt(index, signal);
        const start = at - (coreOffsets[index] ?? 0);
        const part = frame.subarray(start, start + offset + wanted - at);
        parts.push(part);
        at += part.length;
      }
      return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    },
    chunks: async function* ({ from = 0, signal, onStoredBytes } = {}): AsyncGenerator<CoreChunk> {
      if (from >= sizeBytes) return;
      const first = frameIndexOf(coreOffsets, from);
      const fetched = fetchFrames(stored, table, first, signal, onStoredBytes);
      for await (const { index, bytes, group } of inOrder(fetched, decodeFrame)) {
        const offset = coreOffsets[index] ?? 0;
        yield offset >= from ? { offset, bytes } : { offset: from, bytes: bytes.subarray(from - offset) };
        free(bytes);
        if (index === group.lastIndex) free(group.bytes);
      }
      onStoredBytes?.(table.bytes);
    },
  };
}

/** Hold a seek table with the running offsets of its frames; each list of offsets has one more element than frames. */
interface SeekTable {
  bytes: Buffer;
  frames: FrameSize[];
  storedOffsets: number[];
  coreOffsets: number[];
}

/** Read and check the seek table at the end of an entry. @throws {CdhError} CDH_BUNDLE_SEEK_TABLE, CDH_BUNDLE_BOMB */
async function readSeekTable(stored: StoredBytes): Promise<SeekTable | undefined> {
  if (stored.sizeBytes < 17) return undefined;
  const tableBytes = tryReadSeekTableBytes(await stored.read(stored.sizeBytes - 9, 9));
  if (tableBytes === undefined) return undefined;
  if (tableBytes > stored.sizeBytes || tableBytes > TABLE_MAX_BYTES)
    throw tableError(stored, `it says it is ${tableBytes} bytes long`);
  const bytes = await stored.read(stored.sizeBytes - tableBytes, tableBytes);
  const frames = tryDecodeSeekTable(bytes);
  if (frames === undefined) throw tableError(stored, "it contradicts itself");
  const storedOffsets = [0];
  const coreOffsets = [0];
  for (const [index, frame] of frames.entries()) {
    if (frame.coreBytes > FRAME_MAX_BYTES) {
      throw new CdhError(
        "CDH_BUNDLE_BOMB",
        `cannot trust ${JSON.stringify(stored.name)} in ${stored.label}: frame ${index} says it becomes ${frame.coreBytes} bytes`,
      );
    }
    if (frame.coreBytes === 0 || frame.storedBytes > 2 * FRAME_MAX_BYTES)
      throw tableError(stored, `frame ${index} has an impossible size`);
    storedOffsets.push((storedOffsets[index] ?? 0) + frame.storedBytes);
    coreOffsets.push((coreOffsets[index] ?? 0) + frame.coreBytes);
  }
  const framesEnd = storedOffsets[frames.length] ?? 0;
  if (framesEnd !== stored.sizeBytes - tableBytes)
    throw tableError(stored, `its frames end at byte ${framesEnd}, the entry's at ${stored.sizeBytes - tableBytes}`);
  return { bytes, frames, storedOffsets, coreOffsets };
}

/** Find the frame that holds a core offset: the last one that starts at or before it. */
function frameIndexOf(coreOffsets: readonly number[], offset: number): number {
  let low = 0;
  let high = coreOffsets.length - 2;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((coreOffsets[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

interface StoredFrame {
  index: number;
  bytes: Buffer;
  /** What was read at once, and its last frame. */
  group: { bytes: Buffer; lastIndex: number };
}

/** Fetch frames in groups; the next group is on its way while the last one is decoded. */
async function* fetchFrames(
  stored: StoredBytes,
  table: SeekTable,
  first: number,
  signal?: AbortSignal,
  onStoredBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<StoredFrame> {
  const { frames, storedOffsets } = table;
  const fetchGroup = (start: number): { end: number; bytes: Promise<Buffer> } | undefined => {
    if (start >= frames.length) return undefined;
    let end = start + 1;
    const startOffset = storedOffsets[start] ?? 0;
    while (end < frames.length && (storedOffsets[end + 1] ?? 0) - startOffset <= FETCH_BYTES) end += 1;
    const bytes = stored.read(startOffset, (storedOffsets[end] ?? 0) - startOffset, signal);
    bytes.catch(() => {});
    return { end, bytes };
  };
  let start = first;
  for (let group = fetchGroup(first); group !== undefined;) {
    const bytes = await group.bytes;
    onStoredBytes?.(bytes);
    const next = fetchGroup(group.end);
    const base = storedOffsets[start] ?? 0;
    const read = { bytes, lastIndex: group.end - 1 };
    for (let index = start; index < group.end; index += 1) {
      signal?.throwIfAborted();
      yield {
        index,
        bytes: bytes.subarray((storedOffsets[index] ?? 0) - base, (storedOffsets[index + 1] ?? 0) - base),
        group: read,
      };
    }
    start = group.end;
    group = next;
  }
}

/** Decode several frames at a time on zlib's thread pool and hand them out in order. */
async function* inOrder(
  frames: AsyncIterable<StoredFrame>,
  decode: (index: number, bytes: Buffer) => Promise<Buffer>,
): AsyncGenerator<StoredFrame> {
  const atOnce = Math.min(8, availableParallelism() + 2);
  const running: (Omit<StoredFrame, "bytes"> & { bytes: Promise<Buffer> })[] = [];
  for await (const frame of frames) {
    const bytes = decode(frame.index, frame.bytes);
    bytes.catch(() => {});
    running.push({ ...frame, bytes });
    const oldest = running.length >= atOnce ? running.shift() : undefined;
    if (oldest !== undefined) yield { ...oldest, bytes: await oldest.bytes };
  }
  for (const rest of running) yield { ...rest, bytes: await rest.bytes };
}

async function decodeOne(stored: StoredBytes, index: number, bytes: Buffer, coreBytes: number): Promise<Buffer> {
  const where = `frame ${index} of ${JSON.stringify(stored.name)} in ${stored.label}`;
  const decoded = await decompress(bytes, {
    maxOutputLength: Math.max(1, coreBytes),
    chunkSize: coreBytes + OUTPUT_SLACK_BYTES,
  }).catch((error: unknown) => {
    if (error instanceof RangeError)
      throw new CdhError(
        "CDH_BUNDLE_SEEK_TABLE",
        `cannot trust ${where}: it becomes more than the ${coreBytes} bytes that the seek table says`,
      );
    throw new CdhError(
      "CDH_BUNDLE_DATA",
      `cannot decompress ${where}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  });
  if (decoded.length !== coreBytes)
    throw new CdhError(
      "CDH_BUNDLE_SEEK_TABLE",
      `cannot trust ${where}: it becomes ${decoded.length} bytes, the seek table says ${coreBytes}`,
    );
  return decoded;
}

/** Decompress zstd from its start, several frames in a row included. */
async function* zstdStream(
  stored: StoredBytes,
  signal?: AbortSignal,
  onStoredBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  const source = async function* (): AsyncGenerator<Buffer> {
    for (let offset = 0; offset < stored.sizeBytes; offset += STREAM_BYTES) {
      signal?.throwIfAborted();
      const bytes = await stored.read(offset, Math.min(STREAM_BYTES, stored.sizeBytes - offset), signal);
      onStoredBytes?.(bytes);
      yield bytes;
    }
  };
  const decoder = createZstdDecompress({ chunkSize: 256 * 1024 });
  const feeding = pipeline(Readable.from(source()), decoder);
  feeding.catch(() => {});
  try {
    for await (const chunk of decoder) yield chunk as Buffer;
    await feeding;
  } catch (error) {
    if (error instanceof CdhError || signal?.aborted === true) throw error;
    throw new CdhError(
      "CDH_BUNDLE_DATA",
      `cannot decompress ${JSON.stringify(stored.name)} in ${stored.label}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  } finally {
    decoder.destroy();
  }
}

function tableError(stored: StoredBytes, why: string): CdhError {
  return new CdhError(
    "CDH_BUNDLE_SEEK_TABLE",
    `cannot trust the seek table of ${JSON.stringify(stored.name)} in ${stored.label}: ${why}`,
  );
}
