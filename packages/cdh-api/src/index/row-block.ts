import type { RowCounts, RowFacts } from "./row-facts.ts";

/** Rows of a block: so that a number of 16 bits says which of its facts are a row's. */
export const BLOCK_ROWS = 32_768;
/** A block whose texts take so much is full, too: somebody writes manifests to fill memory. */
const BLOCK_TEXT_BYTES = 16 * 1024 * 1024;

/** The columns of numbers, 64-bit floats; NaN is unknown. The last one belongs to the process and is not stored. */
export const NUMBERS = [
  "crashedAt",
  "storedAt",
  "bundleBytes",
  "coreBytes",
  "coreStoredBytes",
  "expectedBytes",
  "pid",
  "revision",
] as const;
export type NumberName = (typeof NUMBERS)[number];

/** Texts of a row of its own, in order; {@link NAME_IN_STEM} stands for a name that its key begins with. */
export const TEXTS = ["stem", "name", "manifestStamp", "podName", "podUid", "faultAddress", "where"] as const;
export const NAME_IN_STEM = 0xfd;

/** The dump is protected from retention. */
export const KEPT = 1;
/** The row is in the index. */
export const LINKED = 2;
/** The row was in the index at some time. */
export const WAS_LINKED = 4;
/** The listing that goes on has shown it. */
export const SEEN = 8;
/** A segment told of the row, and nobody has held it against its manifest yet. */
export const RECALLED = 16;

/** What is the same for many rows: each has the number of its own in a list of the block. */
export const REFS = ["facts", "counts", "node", "image", "summary"] as const;

/** What is not a number of a row. */
export interface RowParts {
  facts: RowFacts;
  counts: RowCounts;
  node: string | undefined;
  image: string | undefined;
  summary: string;
  texts: Uint8Array;
}

/**
 * Rows of the index, column by column: a quarter of what objects take. What is written stays, but for the flags, so that
 * whoever holds a row of it can go on reading.
 */
export class RowBlock {
  /** Its place among the blocks of its pool. */
  readonly index: number;
  /** Rows there may be. */
  readonly capacity: number;
  rows = 0;
  /** Of them in the index. */
  linked = 0;
  readonly numbers: Readonly<Record<NumberName, Float64Array>>;
  readonly refs: Readonly<Record<(typeof REFS)[number], Uint16Array>>;
  readonly flags: Uint8Array;
  /** Which segment of the store holds the row as it is; 0: none. */
  readonly segments: Uint16Array;
  /** Where the texts of a row end. */
  readonly ends: Uint32Array;
  texts: Buffer;
  readonly facts: RowFacts[] = [];
  readonly counts: RowCounts[] = [];
  readonly nodes: (string | undefined)[] = [];
  readonly images: (string | undefined)[] = [];
  readonly summaries: string[] = [];
  /** Where facts stand, while rows are added. */
  #known: Map<unknown, number>[] | undefined = REFS.map(() => new Map());

  constructor(index: number, capacity = BLOCK_ROWS) {
    this.index = index;
    this.capacity = capacity;
    const columns = NUMBERS.map((name) => [name, new Float64Array(capacity)] as const);
    this.numbers = Object.fromEntries(columns) as Record<NumberName, Float64Array>;
    const refs = REFS.map((name) => [name, new Uint16Array(capacity)] as const);
    this.refs = Object.fromEntries(refs) as Record<(typeof REFS)[number], Uint16Array>;
    this.flags = new Uint8Array(capacity);
    this.segments = new Uint16Array(capacity);
    this.ends = new Uint32Array(capacity);
    this.texts = Buffer.alloc(0);
  }

  get isFull(): boolean {
    return this.rows === this.capacity || this.startOf(this.rows) >= BLOCK_TEXT_BYTES || this.#known === undefined;
  }

  /** Where the texts of a row begin. */
  startOf(row: number): number {
    return row === 0 ? 0 : (this.ends[row - 1] ?? 0);
  }

  /** Add a row; its numbers are for the caller to fill in. @param texts packed, see {@link TEXTS} */
  add(row: RowParts): number {
    const at = this.rows;
    const start = this.startOf(at);
    const end = start + row.texts.length;
    if (end > this.texts.length) {
      const larger = Buffer.alloc(Math.max(64 * 1024, this.texts.length * 2, end));
      this.texts.copy(larger, 0, 0, start);
      this.texts = larger;
    }
    this.texts.set(row.texts, start);
    this.ends[at] = end;
    this.refs.facts[at] = this.#place(0, this.facts, row.facts);
    this.refs.counts[at] = this.#place(1, this.counts, row.counts);
    this.refs.node[at] = this.#place(2, this.nodes, row.node);
    this.refs.image[at] = this.#place(3, this.images, row.image);
    this.refs.summary[at] = this.#place(4, this.summaries, row.summary);
    this.rows += 1;
    return at;
  }

  /** No more rows come: give back what was taken for them. */
  close(): void {
    this.#known = undefined;
    const end = this.startOf(this.rows);
    if (end < this.texts.length) this.texts = Buffer.from(this.texts.subarray(0, end));
  }

  #place<T>(which: number, list: T[], value: T): number {
    const known = this.#known?.[which];
    const there = known?.get(value);
    if (there !== undefined) return there;
    list.push(value);
    known?.set(value, list.length - 1);
    return list.length - 1;
  }
}
