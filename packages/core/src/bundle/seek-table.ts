import { CdhError } from "../base/errors.ts";
import { giveWay } from "../base/give-way.ts";
import type { StoredBytes } from "./core-reader-plain.ts";
import { READ_LIMITS } from "./limits.ts";
import {
  FOOTER_BYTES,
  FRAME_BYTES,
  isSeekTableHeader,
  seekTableBytes,
  SKIPPABLE_HEADER_BYTES,
  trySeekTableShape,
  type FrameSize,
  type SeekTableShape,
} from "./zstd-frames.ts";

/** Composers write frames of 1 MiB; other tools may write larger ones, but a reader holds several in memory. */
const FRAME_MAX_BYTES = 8 * FRAME_BYTES;
/** What zstd makes of bytes that it cannot compress. @see ZSTD_compressBound */
const STORED_MAX_BYTES = FRAME_MAX_BYTES + FRAME_MAX_BYTES / 128 + 4096;
/** Magic, header, one block of one repeated byte, as the format allows: no frame that becomes something is shorter. */
const FRAME_MIN_BYTES = 10;
const TABLE_MAX_BYTES = seekTableBytes(READ_LIMITS.seekTableFrames);
/** Frames of one part of a table, which is what is held of it. */
const PART_FRAMES = 4096;
/** Parts that are read at once when the whole table is checked, and those that are checked in a row. */
const PARTS_AT_ONCE = 32;
const PARTS_IN_A_ROW = 2;
const PARTS_KEPT = 2;

/** One frame: where it lies among the stored bytes, and what of the core it becomes. */
export interface Frame extends FrameSize {
  index: number;
  storedOffset: number;
  coreOffset: number;
}

/** A seek table that was checked. Only a part of it is in memory; the others are read again when they are asked for. */
export interface SeekTable {
  readonly frameCount: number;
  /** What all frames become. */
  readonly coreBytes: number;
  /** @throws {CdhError} CDH_BUNDLE_SEEK_TABLE when it is another one by now */
  frame(index: number, signal?: AbortSignal): Promise<Frame>;
  /** Find the frame that holds an offset in the core. */
  frameAt(coreOffset: number, signal?: AbortSignal): Promise<Frame>;
  /** The table as it is stored, piece by piece. */
  pieces(signal?: AbortSignal): AsyncIterable<Buffer>;
}

/** Offsets where some frames begin, and where the last of them ends. */
interface Part {
  stored: Float64Array;
  core: Float64Array;
}

/**
 * Read and check the seek table at the end of an entry, in pieces: others that wait for this thread have their turns.
 * @returns undefined when there is none
 * @throws {CdhError} CDH_BUNDLE_SEEK_TABLE, CDH_BUNDLE_BOMB
 */
export async function readSeekTable(stored: StoredBytes): Promise<SeekTable | undefined> {
  if (stored.sizeBytes < SKIPPABLE_HEADER_BYTES + FOOTER_BYTES) return undefined;
  const shape = trySeekTableShape(await stored.read(stored.sizeBytes - FOOTER_BYTES, FOOTER_BYTES));
  if (shape === undefined) return undefined;
  const { tableBytes } = shape;
  if (tableBytes > stored.sizeBytes || tableBytes > TABLE_MAX_BYTES)
    throw tableError(stored, `it says it is ${tableBytes} bytes long`);
  const tableOffset = stored.sizeBytes - tableBytes;
  if (!isSeekTableHeader(await stored.read(tableOffset, SKIPPABLE_HEADER_BYTES), tableBytes))
    throw tableError(stored, "it contradicts itself");
  const starts = await readStarts(stored, shape);
  const framesEnd = starts.stored.at(-1) ?? 0;
  if (framesEnd !== tableOffset)
    throw tableError(stored, `its frames end at byte ${framesEnd}, the entry's at ${tableOffset}`);
  return tableOf(stored, shape, starts);
}

/** Check all frames. @returns where each part begins, and where the last one ends */
async function readStarts(stored: StoredBytes, shape: SeekTableShape): Promise<Part> {
  const count = Math.ceil(shape.frameCount / PART_FRAMES);
  const starts = { stored: new Float64Array(count + 1), core: new Float64Array(count + 1) };
  for (let first = 0; first < count; first += PARTS_AT_ONCE) {
    const last = Math.min(count, first + PARTS_AT_ONCE);
    const bytes = await readEntries(stored, shape, first, last);
    for (let part = first; part < last; part += 1) {
      const offset = (part - first) * PART_FRAMES * shape.entryBytes;
      const entries = bytes.subarray(offset, offset + PART_FRAMES * shape.entryBytes);
      const decoded = decodePart(entries, shape, starts.stored[part] ?? 0, starts.core[part] ?? 0);
      checkFrames(stored, decoded, part * PART_FRAMES);
      starts.stored[part + 1] = decoded.stored.at(-1) ?? 0;
      starts.core[part + 1] = decoded.core.at(-1) ?? 0;
      if (part % PARTS_IN_A_ROW === PARTS_IN_A_ROW - 1) await giveWay();
    }
  }
  return starts;
}

function tableOf(stored: StoredBytes, shape: SeekTableShape, starts: Part): SeekTable {
  const { frameCount, tableBytes } = shape;
  const kept = new Map<number, Part>();
  const partOf = async (part: number, signal?: AbortSignal): Promise<Part> => {
    const known = kept.get(part);
    if (known !== undefined) return known;
    const entries = await readEntries(stored, shape, part, part + 1, signal);
    const read = decodePart(entries, shape, starts.stored[part] ?? 0, starts.core[part] ?? 0);
    if (read.stored.at(-1) !== starts.stored[part + 1] || read.core.at(-1) !== starts.core[part + 1])
      throw tableError(stored, "it is another one by now");
    kept.set(part, read);
    for (const oldest of kept.keys()) if (kept.size > PARTS_KEPT) kept.delete(oldest);
    return read;
  };
  const frameIn = (part: Part, at: number, index: number): Frame => ({
    index,
    storedOffset: part.stored[at] ?? 0,
    coreOffset: part.core[at] ?? 0,
    ...frameSizeOf(part, at),
  });
  return {
    frameCount,
    coreBytes: starts.core.at(-1) ?? 0,
    frame: async (index, signal) =>
      frameIn(await partOf(Math.floor(index / PART_FRAMES), signal), index % PART_FRAMES, index),
    frameAt: async (coreOffset, signal) => {
      const number = lastAtOrBefore(starts.core, coreOffset);
      const part = await partOf(number, signal);
      const at = lastAtOrBefore(part.core, coreOffset);
      return frameIn(part, at, number * PART_FRAMES + at);
    },
    pieces: async function* (signal) {
      const piece = PARTS_AT_ONCE * PART_FRAMES * shape.entryBytes;
      for (let at = stored.sizeBytes - tableBytes; at < stored.sizeBytes; at += piece)
        yield await stored.read(at, Math.min(piece, stored.sizeBytes - at), signal);
    },
  };
}

async function readEntries(
  stored: StoredBytes,
  { frameCount, tableBytes, entryBytes }: SeekTableShape,
  firstPart: number,
  endPart: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  const first = firstPart * PART_FRAMES;
  const end = Math.min(frameCount, endPart * PART_FRAMES);
  const offset = stored.sizeBytes - tableBytes + SKIPPABLE_HEADER_BYTES + first * entryBytes;
  return await stored.read(offset, (end - first) * entryBytes, signal);
}

function decodePart(entries: Buffer, { entryBytes }: SeekTableShape, storedOffset: number, coreOffset: number): Part {
  const count = entries.length / entryBytes;
  const part = { stored: new Float64Array(count + 1), core: new Float64Array(count + 1) };
  part.stored[0] = storedOffset;
  part.core[0] = coreOffset;
  for (let at = 0; at < count; at += 1) {
    part.stored[at + 1] = (part.stored[at] ?? 0) + entries.readUInt32LE(at * entryBytes);
    part.core[at + 1] = (part.core[at] ?? 0) + entries.readUInt32LE(at * entryBytes + 4);
  }
  return part;
}

function frameSizeOf(part: Part, at: number): FrameSize {
  return {
    storedBytes: (part.stored[at + 1] ?? 0) - (part.stored[at] ?? 0),
    coreBytes: (part.core[at + 1] ?? 0) - (part.core[at] ?? 0),
  };
}

function checkFrames(stored: StoredBytes, part: Part, firstIndex: number): void {
  for (let at = 0; at < part.core.length - 1; at += 1) {
    const { coreBytes, storedBytes } = frameSizeOf(part, at);
    const index = firstIndex + at;
    if (coreBytes > FRAME_MAX_BYTES) {
      throw new CdhError(
        "CDH_BUNDLE_BOMB",
        `cannot trust ${JSON.stringify(stored.name)} in ${stored.label}: frame ${index} says it becomes ${coreBytes} bytes`,
      );
    }
    if (coreBytes === 0 || storedBytes < FRAME_MIN_BYTES || storedBytes > STORED_MAX_BYTES)
      throw tableError(stored, `frame ${index} has an impossible size`);
  }
}

/** Find the last of some rising offsets, their end left out, that is not behind the one given. */
function lastAtOrBefore(offsets: Float64Array, offset: number): number {
  let low = 0;
  let high = offsets.length - 2;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((offsets[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

function tableError(stored: StoredBytes, why: string): CdhError {
  return new CdhError(
    "CDH_BUNDLE_SEEK_TABLE",
    `cannot trust the seek table of ${JSON.stringify(stored.name)} in ${stored.label}: ${why}`,
  );
}
