import { randomInt } from "node:crypto";
import type { DumpRecord } from "./dump-record.ts";
import { boundsOf, nameAt, PackedRecord, packTexts } from "./packed-record.ts";
import { hashBytes, hashText, packText } from "./packed-text.ts";
import { BLOCK_ROWS, KEPT, LINKED, type NumberName, NUMBERS, RECALLED, RowBlock } from "./row-block.ts";
import { FactsPool, type RowCounts, type RowFacts } from "./row-facts.ts";

/** What may change of a dump while its manifest stays. */
export type Changes = Partial<Pick<DumpRecord, "name" | "bundleBytes" | "storedAt" | "keep" | "revision">>;

const SHIFT = Math.log2(BLOCK_ROWS);
const MASK = BLOCK_ROWS - 1;

/** Blocks, each at its number; undefined where one was given up. Who lists keeps the array: it is never changed but at its end. */
export type Blocks = readonly (RowBlock | undefined)[];

/** Read what lies at the number of a row. */
export function recordAt(blocks: Blocks, id: number): PackedRecord {
  const block = blocks[id >>> SHIFT];
  if (block === undefined) throw new Error(`no row ${id}`);
  return new PackedRecord(block, id & MASK);
}

/** Make records, and hold them in blocks of rows. A row has a number, which is never given again. */
export class RecordPool {
  readonly facts = new FactsPool();
  readonly #seed = randomInt(2 ** 31);
  #blocks: (RowBlock | undefined)[] = [];
  #current: RowBlock | undefined;

  get blocks(): Blocks {
    return this.#blocks;
  }

  /** Pack a record: what it was made of can go. */
  pack(record: DumpRecord): PackedRecord {
    return this.#add(record, this.facts.facts(record), this.facts.counts(record), packTexts(record));
  }

  /** Make the record of a dump that has changed; the one that was stays what it is. */
  changed(record: DumpRecord, changes: Changes): PackedRecord {
    if (!(record instanceof PackedRecord)) return this.pack(withChanges(record, changes));
    if (changes.name !== undefined) {
      const renamed = this.pack(withChanges(record, changes));
      copyOrigin(record, renamed);
      return renamed;
    }
    const { block, row } = record;
    const facts = block.facts[block.refs.facts[row] ?? 0] as RowFacts;
    const counts = block.counts[block.refs.counts[row] ?? 0] as RowCounts;
    const made = this.#add(record, facts, counts, block.texts.subarray(block.startOf(row), block.ends[row]));
    copyOrigin(record, made);
    fill(made, changes);
    return made;
  }

  /** Number of a row of this pool's; a record of another one is packed first. */
  idOf(record: DumpRecord): number {
    const own =
      record instanceof PackedRecord && this.#blocks[record.block.index] === record.block ? record : this.pack(record);
    return own.block.index * BLOCK_ROWS + own.row;
  }

  at(id: number): PackedRecord {
    return recordAt(this.#blocks, id);
  }

  block(id: number): RowBlock {
    const block = this.#blocks[id >>> SHIFT];
    if (block === undefined) throw new Error(`no row ${id}`);
    return block;
  }

  number(id: number, name: NumberName): number {
    return this.#blocks[id >>> SHIFT]?.numbers[name][id & MASK] ?? Number.NaN;
  }

  flags(id: number): number {
    return this.#blocks[id >>> SHIFT]?.flags[id & MASK] ?? 0;
  }

  setFlags(id: number, on: number, off = 0): void {
    const block = this.block(id);
    const row = id & MASK;
    const before = block.flags[row] ?? 0;
    const after = (before | on) & ~off;
    block.flags[row] = after;
    if ((before & LINKED) !== (after & LINKED)) block.linked += (after & LINKED) === 0 ? -1 : 1;
  }

  nameAt(id: number): string {
    return nameAt(this.block(id), id & MASK);
  }

  stemHash(id: number): number {
    const block = this.block(id);
    const [start, end] = boundsOf(block, id & MASK, 0);
    return hashBytes(block.texts, start, end, this.#seed);
  }

  nameHash(name: string): number {
    return hashText(name, this.#seed);
  }

  /** Make what finds the row of a key. */
  stemKey(stem: string): { hash: number; isIt: (id: number) => boolean } {
    const bytes = packText(stem);
    return {
      hash: hashBytes(bytes, 0, bytes.length, this.#seed),
      isIt: (id) => {
        const block = this.block(id);
        const [start, end] = boundsOf(block, id & MASK, 0);
        return bytes.compare(block.texts, start, end) === 0;
      },
    };
  }

  /** Take in a block that was read. @param read makes it, for its number */
  adopt(read: (index: number) => RowBlock): RowBlock {
    const block = read(this.#blocks.length);
    this.#blocks.push(block);
    return block;
  }

  /** Give a block up, whose rows nobody needs. Who lists has the array as it was. */
  drop(block: RowBlock): void {
    this.#blocks = this.#blocks.slice();
    this.#blocks[block.index] = undefined;
  }

  /** The block that rows are added to. */
  get current(): RowBlock | undefined {
    return this.#current;
  }

  #add(record: DumpRecord, facts: RowFacts, counts: RowCounts, texts: Uint8Array): PackedRecord {
    const block = this.#roomy();
    const shared = (text: string | undefined): string | undefined =>
      text === undefined || text === "" ? undefined : this.facts.name(text);
    const row = block.add({
      facts,
      counts,
      node: shared(record.nodeName),
      image: shared(record.imageRef),
      summary: this.facts.text(record.summary),
      texts,
    });
    for (const name of NUMBERS) block.numbers[name][row] = record[name] ?? Number.NaN;
    block.flags[row] = record.keep ? KEPT : 0;
    return new PackedRecord(block, row);
  }

  #roomy(): RowBlock {
    if (this.#current?.isFull === false) return this.#current;
    this.#current?.close();
    this.#current = this.adopt((index) => new RowBlock(index));
    return this.#current;
  }
}

/** Fill in what the listing tells of a record that nobody has seen yet. */
export function fill({ block, row }: PackedRecord, changes: Omit<Changes, "name">): void {
  const { bundleBytes, storedAt, keep, revision } = changes;
  if ("bundleBytes" in changes) block.numbers.bundleBytes[row] = bundleBytes ?? Number.NaN;
  if (storedAt !== undefined) block.numbers.storedAt[row] = storedAt;
  if (revision !== undefined) block.numbers.revision[row] = revision;
  if (keep !== undefined) block.flags[row] = keep ? (block.flags[row] ?? 0) | KEPT : (block.flags[row] ?? 0) & ~KEPT;
}

function copyOrigin(from: PackedRecord, to: PackedRecord): void {
  to.block.flags[to.row] = (to.block.flags[to.row] ?? 0) | ((from.block.flags[from.row] ?? 0) & RECALLED);
}

/** A packed record has getters, which a spread does not copy. */
function withChanges(record: DumpRecord, changes: Changes): DumpRecord {
  return new Proxy(record, {
    get: (target, key) =>
      (key in changes ? changes[key as keyof Changes] : Reflect.get(target, key, target)) as unknown,
  });
}
