import { reasonOf } from "@cdh/core/errors";
import { giveWay } from "@cdh/core/give-way";
import type { Logger } from "@cdh/core/log";
import type { PastCrashes } from "../index/past-crashes.ts";
import type { PlacementRules } from "../index/placement.ts";
import type { RecordPool } from "../index/record-pool.ts";
import { BLOCK_ROWS, type RowBlock } from "../index/row-block.ts";
import { decodeBlock, NoBlock } from "./block-codec.ts";
import type { SegmentFolder, StoredSegment } from "./folder.ts";
import { decodePast, type Gone } from "./past.ts";
import { NoSegment, splitSegment, unpack, type Segment } from "./segment.ts";

/** What reading segments needs. */
export interface ReadOptions {
  folder: SegmentFolder;
  rules: PlacementRules;
  pool: RecordPool;
  log: Logger;
}

/** A segment that was read; its rows come block by block. */
export interface ReadSegment {
  name: string;
  listedAt: number;
  replaces: readonly string[];
  past: readonly PastCrashes[];
  /** Dumps of older segments that are gone. */
  gone: Gone;
  blocks: () => AsyncGenerator<RowBlock>;
}

/** What reading all segments came to. */
export interface ReadResult {
  /** Names of those that were read and count. */
  valid: string[];
  /** Names of those that others stand for: they may be removed. */
  replaced: string[];
  /** Names of those that are none, or none any more. */
  damaged: string[];
  /** Names of those that somebody removed meanwhile. */
  missing: string[];
}

/** A block takes so many rows between two looks at what else there is to do. */
export const ROWS_AT_ONCE = 4096;
/** Segments that are fetched before they are needed. */
const AHEAD = 2;

/**
 * Read all valid segments, the newest first. One that is damaged costs itself alone; what is read of it before that shows
 * stays with `take`, which is told by an error of its blocks.
 * @param take works on a segment; what it throws of the CDH_STORE family ends the reading
 * @throws {CdhError} the CDH_STORE family
 */
export async function readSegments(
  { folder, rules, pool, log }: ReadOptions,
  take: (segment: ReadSegment) => Promise<void>,
  signal: AbortSignal,
): Promise<ReadResult> {
  const stored = await folder.list(signal);
  const result: ReadResult = { valid: [], replaced: [], damaged: [], missing: [] };
  const isReplaced = new Set<string>();
  const fetches = new Map<string, Promise<Fetched>>();
  const fetch = (segment: StoredSegment): Promise<Fetched> => fetchOne(folder, segment, signal);
  for (const [at, segment] of stored.entries()) {
    signal.throwIfAborted();
    const { name } = segment;
    for (const next of stored.slice(at, at + AHEAD)) {
      if (!fetches.has(next.name) && !isReplaced.has(next.name)) fetches.set(next.name, fetch(next));
    }
    const fetched = fetches.get(name);
    fetches.delete(name);
    if (isReplaced.has(name) || fetched === undefined) {
      result.replaced.push(name);
      continue;
    }
    const outcome = await fetched;
    if ("failure" in outcome) throw outcome.failure;
    if (outcome.bytes === undefined) {
      result.missing.push(name);
      continue;
    }
    try {
      const split = await splitSegment(outcome.bytes);
      const { past, gone } =
        split.past === undefined ? { past: [], gone: new Map() } : await decodePast(await unpack(split.past));
      const { head } = split;
      await take({ name, ...head, past, gone, blocks: () => blocksOf(split, { rules, pool }) });
      for (const old of head.replaces) isReplaced.add(old);
      result.valid.push(name);
    } catch (error) {
      if (!(error instanceof NoSegment || error instanceof NoBlock)) throw error;
      result.damaged.push(name);
      log.warn("a segment of the index is damaged and is left out", { segment: name, reason: reasonOf(error) });
    }
  }
  return result;
}

type Fetched = { bytes: Buffer | undefined } | { failure: unknown };

/** Never rejects: nobody waits for it yet. */
async function fetchOne(folder: SegmentFolder, segment: StoredSegment, signal: AbortSignal): Promise<Fetched> {
  try {
    return { bytes: await folder.read(segment, signal) };
  } catch (failure) {
    // What is too large to be one is as damaged as what is empty.
    return failure instanceof NoSegment ? { bytes: Buffer.alloc(0) } : { failure };
  }
}

async function* blocksOf(
  { blocks }: Segment,
  { rules, pool }: Pick<ReadOptions, "rules" | "pool">,
): AsyncGenerator<RowBlock> {
  for (const packed of blocks) {
    const plain = await unpack(packed);
    yield await decodeBlock(plain, { rules, pool: pool.facts, index: pool.blocks.length });
    await giveWay();
  }
}

/** Go through the rows of a block, and let others work in between. */
export async function eachRow(block: RowBlock, work: (row: number) => void): Promise<void> {
  for (let row = 0; row < Math.min(block.rows, BLOCK_ROWS); row += 1) {
    work(row);
    if (row % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await giveWay();
  }
}
