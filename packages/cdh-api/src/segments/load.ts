import type { DumpIndex } from "../index/dump-index.ts";
import { PackedRecord } from "../index/packed-record.ts";
import { nameOfStem, tryNameOf } from "../index/placement.ts";
import { fill } from "../index/record-pool.ts";
import { RECALLED } from "../index/row-block.ts";
import { addGone, type Gone, goneHash, Past } from "./past.ts";
import { eachRow, type ReadOptions, type ReadResult, type ReadSegment, readSegments } from "./read.ts";

/** What loading came to. */
export interface Loaded extends ReadResult {
  dumps: number;
  /** When the newest listing began that a segment comes from, epoch milliseconds; undefined: there is none. */
  listedAt: number | undefined;
  past: Past;
}

/**
 * Fill an empty index from the segments of the store. What they tell is as old as they are: a listing decides what is true.
 * @throws {CdhError} the CDH_STORE family
 */
export async function loadSegments(options: ReadOptions & { index: DumpIndex }, signal: AbortSignal): Promise<Loaded> {
  const { index } = options;
  const past = new Past();
  const gone: Gone = new Map();
  let listedAt: number | undefined;
  let revision: number | undefined;
  const take = async (segment: ReadSegment): Promise<void> => {
    // The first one that is read is the newest.
    const own = (revision ??= index.log.next(segment.listedAt));
    for await (const block of segment.blocks()) {
      const goneHere = gone.get(segment.name);
      index.pool.adopt(() => block);
      await eachRow(block, (row) => linkRow(index, new PackedRecord(block, row), goneHere, own));
    }
    for (const one of segment.past) past.merge(one);
    addGone(gone, segment.gone);
    listedAt = Math.max(listedAt ?? 0, segment.listedAt);
  };
  const result = await readSegments({ ...options, pool: index.pool }, take, signal);
  index.compact();
  return { ...result, dumps: index.size, listedAt, past };
}

function linkRow(
  index: DumpIndex,
  record: PackedRecord,
  gone: ReadonlySet<string> | undefined,
  revision: number,
): void {
  const { stem, name } = record;
  // What a newer segment tells of it is newer.
  if (index.idOfStem(stem) >= 0 || gone?.has(goneHash(stem)) === true) return;
  const isName = tryNameOf({ crashId: name }) !== undefined && index.byName(name) === undefined;
  const named = isName ? record : index.pool.changed(record, { name: nameOfStem(stem) });
  fill(named, { revision });
  const id = index.pool.idOf(named);
  index.pool.setFlags(id, RECALLED);
  index.adopt(id);
}
