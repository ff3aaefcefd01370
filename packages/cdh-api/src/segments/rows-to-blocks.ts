import { giveWay } from "@cdh/core/give-way";
import { append } from "@cdh/core/lists";
import type { PackedRecord } from "../index/packed-record.ts";
import { KEPT, NUMBERS, RowBlock } from "../index/row-block.ts";
import { tryEncodeBlock } from "./block-codec.ts";
import { ROWS_AT_ONCE } from "./read.ts";
import { pack, type Packed } from "./segment.ts";

/** Write rows as packed blocks, and let others work in between. */
export async function packRows(records: readonly PackedRecord[]): Promise<Packed[]> {
  const packed: Packed[] = [];
  let block = new RowBlock(0);
  const end = async (): Promise<void> => {
    if (block.rows === 0) return;
    block.close();
    append(packed, await packBlock(block));
    block = new RowBlock(0);
  };
  for (const [at, record] of records.entries()) {
    copyRow(record, block);
    if (block.isFull) await end();
    if (at % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await giveWay();
  }
  await end();
  return packed;
}

/** A block whose lists are too large for a reader is written as two. */
async function packBlock(block: RowBlock): Promise<Packed[]> {
  const plain = tryEncodeBlock(block);
  if (plain !== undefined) return [await pack(plain)];
  const half = Math.ceil(block.rows / 2);
  const parts: Packed[] = [];
  for (const [from, to] of [
    [0, half],
    [half, block.rows],
  ] as const) {
    const part = new RowBlock(0);
    for (let row = from; row < to; row += 1) copyRow({ block, row }, part);
    part.close();
    append(parts, await packBlock(part));
  }
  return parts;
}

function copyRow({ block: from, row }: Pick<PackedRecord, "block" | "row">, to: RowBlock): void {
  const { facts, counts, node, image, summary } = from.refs;
  const [fact, count] = [from.facts[facts[row] ?? 0], from.counts[counts[row] ?? 0]];
  if (fact === undefined || count === undefined) throw new Error("a row has no facts");
  const at = to.add({
    facts: fact,
    counts: count,
    node: from.nodes[node[row] ?? 0],
    image: from.images[image[row] ?? 0],
    summary: from.summaries[summary[row] ?? 0] ?? "",
    texts: from.texts.subarray(from.startOf(row), from.ends[row]),
  });
  for (const name of NUMBERS) to.numbers[name][at] = from.numbers[name][row] ?? Number.NaN;
  to.flags[at] = (from.flags[row] ?? 0) & KEPT;
}
