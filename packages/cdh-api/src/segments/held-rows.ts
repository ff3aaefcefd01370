import type { DumpIndex } from "../index/dump-index.ts";
import type { PackedRecord } from "../index/packed-record.ts";
import { SEGMENT_ROWS } from "./plan.ts";

/** Texts of one segment: it stays within what a reader takes, whatever others wrote into manifests. */
const TEXT_BYTES_MAX = 24 * 1024 * 1024;

/** Which segment holds a record as it is; 0: none. */
export function segmentOf({ block, row }: PackedRecord): number {
  return block.segments[row] ?? 0;
}

/** Find rows that no segment holds, as many as go into one. */
export function unwrittenRows(index: DumpIndex): PackedRecord[] {
  const rows: PackedRecord[] = [];
  let textBytes = 0;
  for (const record of index.records()) {
    if (segmentOf(record) !== 0) continue;
    const { block, row } = record;
    textBytes += (block.ends[row] ?? 0) - block.startOf(row);
    if (rows.length >= SEGMENT_ROWS || (textBytes > TEXT_BYTES_MAX && rows.length > 0)) break;
    rows.push(record);
  }
  return rows;
}

/** Find the rows that segments hold. */
export function rowsOf(index: DumpIndex, numbers: ReadonlySet<number>): PackedRecord[] {
  const rows: PackedRecord[] = [];
  if (numbers.size === 0) return rows;
  for (const record of index.records()) if (numbers.has(segmentOf(record))) rows.push(record);
  return rows;
}

/** Count the rows that each segment still holds as they are. */
export function countLive(index: DumpIndex): Map<number, number> {
  const live = new Map<number, number>();
  for (const record of index.records()) {
    const number = segmentOf(record);
    if (number !== 0) live.set(number, (live.get(number) ?? 0) + 1);
  }
  return live;
}

/** Note that segments hold nothing any more. */
export function disownRows(index: DumpIndex, isGone: (number: number) => boolean): void {
  for (const { segments } of index.pool.blocks.filter((block) => block !== undefined)) {
    for (const [row, number] of segments.entries()) if (number !== 0 && isGone(number)) segments[row] = 0;
  }
}
