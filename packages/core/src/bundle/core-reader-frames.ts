import { availableParallelism } from "node:os";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createZstdDecompress, zstdDecompress } from "node:zlib";
import { CdhError } from "../base/errors.ts";
import type { CoreChunk, CoreReader } from "./core-layout.ts";
import { clamp, sequentialCore, type StoredBytes } from "./core-reader-plain.ts";
import { free, OUTPUT_SLACK_BYTES } from "./free-buffer.ts";
import { readSeekTable, type Frame, type SeekTable } from "./seek-table.ts";

const decompress = promisify(zstdDecompress);

/** Frames that are fetched in one read: few requests to a store, little memory. */
const FETCH_BYTES = 2 * 1024 * 1024;
const GROUP_FRAMES = 4096;
const STREAM_BYTES = 1024 * 1024;
/** Decoded frames kept for small reads that fall into the same place; one is kept whatever its size. */
const FRAMES_KEPT = 8;
const KEPT_BYTES = 8 * 1024 * 1024;

/**
 * Read a core of independent zstd frames by its seek table; without a table, as one stream.
 * @param maxBytes what it may become at most, where it has no table
 * @throws {CdhError} CDH_BUNDLE_SEEK_TABLE when the table lies, CDH_BUNDLE_BOMB when a frame is too large to hold
 */
export async function framedCore(stored: StoredBytes, maxBytes?: number): Promise<CoreReader> {
  const table = await readSeekTable(stored);
  if (table === undefined)
    return sequentialCore({
      layout: "zstd",
      name: stored.name,
      storedBytes: stored.sizeBytes,
      maxBytes,
      open: (signal, onStoredBytes) => zstdStream(stored, signal, onStoredBytes),
    });
  const sizeBytes = table.coreBytes;
  const kept = new Map<number, { bytes: Promise<Buffer>; coreBytes: number }>();
  let keptBytes = 0;
  const drop = (index: number): void => {
    keptBytes -= kept.get(index)?.coreBytes ?? 0;
    kept.delete(index);
  };

  const decodedFrame = (frame: Frame, signal?: AbortSignal): Promise<Buffer> => {
    const { index, coreBytes } = frame;
    const known = kept.get(index);
    if (known !== undefined) return known.bytes;
    for (const oldest of kept.keys()) {
      if (kept.size < FRAMES_KEPT && keptBytes + coreBytes <= KEPT_BYTES) break;
      drop(oldest);
    }
    const bytes = stored
      .read(frame.storedOffset, frame.storedBytes, signal)
      .then((compressed) => decodeOne(stored, frame, compressed));
    kept.set(index, { bytes, coreBytes });
    keptBytes += coreBytes;
    bytes.catch(() => {
      if (kept.get(index)?.bytes === bytes) drop(index);
    });
    return bytes;
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
        const frame = await table.frameAt(at, signal);
        const bytes = await decodedFrame(frame, signal);
        const start = at - frame.coreOffset;
        const part = bytes.subarray(start, start + offset + wanted - at);
        parts.push(part);
        at += part.length;
      }
      return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    },
    chunks: async function* ({ from = 0, signal, onStoredBytes } = {}): AsyncGenerator<CoreChunk> {
      if (from >= sizeBytes) return;
      const first = await table.frameAt(from, signal);
      const fetched = fetchFrames(stored, table, first, signal, onStoredBytes);
      for await (const { frame, bytes, group } of inOrder(fetched, (one, compressed) =>
        decodeOne(stored, one, compressed),
      )) {
        const offset = frame.coreOffset;
        yield offset >= from ? { offset, bytes } : { offset: from, bytes: bytes.subarray(from - offset) };
        free(bytes);
        if (frame.index === group.lastIndex) free(group.bytes);
      }
      if (onStoredBytes === undefined) return;
      for await (const piece of table.pieces(signal)) onStoredBytes(piece);
    },
  };
}

interface StoredFrame {
  frame: Frame;
  bytes: Buffer;
  /** What was read at once, and its last frame. */
  group: { bytes: Buffer; lastIndex: number };
}

/** Frames that are fetched by one read. */
interface Fetched {
  frames: readonly Frame[];
  bytes: Promise<Buffer>;
  /** The first that is not among them. */
  next: Frame | undefined;
}

/** Fetch frames in groups; the next group is on its way while the last one is decoded. */
async function* fetchFrames(
  stored: StoredBytes,
  table: SeekTable,
  first: Frame,
  signal?: AbortSignal,
  onStoredBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<StoredFrame> {
  const fetchGroup = async (start: Frame | undefined): Promise<Fetched | undefined> => {
    if (start === undefined) return undefined;
    const frames = [start];
    let next: Frame | undefined;
    for (let index = start.index + 1; index < table.frameCount; index += 1) {
      const frame = await table.frame(index, signal);
      if (frames.length < GROUP_FRAMES && frame.storedOffset + frame.storedBytes - start.storedOffset <= FETCH_BYTES)
        frames.push(frame);
      else {
        next = frame;
        break;
      }
    }
    const last = frames.at(-1) ?? start;
    const bytes = stored.read(start.storedOffset, last.storedOffset + last.storedBytes - start.storedOffset, signal);
    bytes.catch(() => {});
    return { frames, bytes, next };
  };
  for (let group = await fetchGroup(first); group !== undefined;) {
    const bytes = await group.bytes;
    onStoredBytes?.(bytes);
    const following = fetchGroup(group.next);
    following.catch(() => {});
    const base = group.frames[0]?.storedOffset ?? 0;
    const read = { bytes, lastIndex: group.frames.at(-1)?.index ?? 0 };
    for (const frame of group.frames) {
      signal?.throwIfAborted();
      const at = frame.storedOffset - base;
      yield { frame, bytes: bytes.subarray(at, at + frame.storedBytes), group: read };
    }
    group = await following;
  }
}

/** Decode several frames at a time on zlib's thread pool and hand them out in order. */
async function* inOrder(
  frames: AsyncIterable<StoredFrame>,
  decode: (frame: Frame, bytes: Buffer) => Promise<Buffer>,
): AsyncGenerator<StoredFrame> {
  const atOnce = Math.min(8, availableParallelism() + 2);
  const running: (Omit<StoredFrame, "bytes"> & { bytes: Promise<Buffer> })[] = [];
  for await (const frame of frames) {
    const bytes = decode(frame.frame, frame.bytes);
    bytes.catch(() => {});
    running.push({ ...frame, bytes });
    const oldest = running.length >= atOnce ? running.shift() : undefined;
    if (oldest !== undefined) yield { ...oldest, bytes: await oldest.bytes };
  }
  for (const rest of running) yield { ...rest, bytes: await rest.bytes };
}

async function decodeOne(stored: StoredBytes, { index, coreBytes }: Frame, bytes: Buffer): Promise<Buffer> {
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
