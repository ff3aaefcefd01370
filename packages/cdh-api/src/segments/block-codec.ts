import { isRecord } from "@cdh/core/base/records";
import type { JsonLimits } from "@cdh/core/json";
import { append } from "@cdh/core/lists";
import { boundsOf } from "../index/packed-record.ts";
import { TIME_MAX_MS } from "../index/past-crashes.ts";
import { placeOf, type PlacementRules } from "../index/placement.ts";
import { BLOCK_ROWS, KEPT, NUMBERS, REFS, RowBlock, TEXTS } from "../index/row-block.ts";
import {
  COUNT_KINDS,
  FACT_KINDS,
  type FactKind,
  type FactsPool,
  type RowCounts,
  type RowFacts,
} from "../index/row-facts.ts";
import { parseInThread } from "../manifests/thread.ts";

/** A block's lists as JSON: what the thread that parses it has memory for. Past it a block is written as two. */
const LISTS_LIMITS: JsonLimits = { bytes: 12 * 1024 * 1024, depth: 6, elements: 500_000 };
/** Bytes of a block before it is compressed. */
export const BLOCK_BYTES_MAX = 64 * 1024 * 1024;
/** Characters of one text, as of a manifest's field. */
const TEXT_MAX = 8192;

const STORED = NUMBERS.filter((name) => name !== "revision");
const LISTS = { facts: FACT_KINDS, counts: COUNT_KINDS } as const;

/** What lists of a block there are, by what refers to them. */
interface Lists {
  /** Names of the fields, so that a reader finds those that it knows. */
  fields: { facts: string[]; counts: string[] };
  facts: unknown[][];
  counts: unknown[][];
  nodes: (string | null)[];
  images: (string | null)[];
  summaries: string[];
}

/** Says why bytes are no block. */
export class NoBlock extends Error {
  override readonly name = "NoBlock";
}

/** Write the rows of a block, column by column; undefined when its lists are too large for a reader. */
export function tryEncodeBlock(block: RowBlock): Buffer | undefined {
  const { rows } = block;
  // Where a dump is shown is for the reader's own settings to say.
  const fields = {
    facts: Object.keys(FACT_KINDS).filter((name) => name !== "namespace"),
    counts: Object.keys(COUNT_KINDS),
  };
  const pick = (names: readonly string[], from: object): unknown[] =>
    names.map((name) => (from as Record<string, unknown>)[name] ?? null);
  const lists: Lists = {
    fields,
    facts: block.facts.map((facts) => pick(fields.facts, facts)),
    counts: block.counts.map((counts) => pick(fields.counts, counts)),
    nodes: block.nodes.map((node) => node ?? null),
    images: block.images.map((image) => image ?? null),
    summaries: block.summaries,
  };
  const json = Buffer.from(JSON.stringify(lists));
  const { length: perFacts } = fields.facts;
  const elements = (perFacts + 1) * (lists.facts.length + 4) + 5 * lists.counts.length + block.summaries.length;
  const isLarge = elements + block.nodes.length + block.images.length > LISTS_LIMITS.elements;
  if ((isLarge || json.length > LISTS_LIMITS.bytes) && rows > 1) return undefined;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(rows, 0);
  head.writeUInt32LE(json.length, 4);
  const columns = [
    ...STORED.map((name) => bytesOf(block.numbers[name].subarray(0, rows))),
    ...REFS.map((name) => bytesOf(block.refs[name].subarray(0, rows))),
    Buffer.from(block.flags.subarray(0, rows).map((flags) => flags & KEPT)),
    bytesOf(block.ends.subarray(0, rows)),
    block.texts.subarray(0, block.startOf(rows)),
  ];
  return Buffer.concat([head, json, ...columns]);
}

/** How a block is read. */
export interface DecodeOptions {
  rules: PlacementRules;
  pool: FactsPool;
  /** Its number. */
  index: number;
}

/**
 * Read what {@link tryEncodeBlock} wrote; whatever others wrote is refused, or makes rows that are some.
 * @throws {NoBlock}
 */
export async function decodeBlock(bytes: Buffer, { rules, pool, index }: DecodeOptions): Promise<RowBlock> {
  const reader = new Reader(bytes);
  const [rows, jsonBytes] = [reader.uint32(), reader.uint32()];
  if (rows > BLOCK_ROWS) throw new NoBlock(`it says that it has ${rows} rows`);
  const lists = await readLists(reader.take(jsonBytes));
  const block = new RowBlock(index, Math.max(1, rows));
  for (const name of STORED) bytesOf(block.numbers[name]).set(reader.take(rows * 8));
  for (const name of REFS) bytesOf(block.refs[name]).set(reader.take(rows * 2));
  block.flags.set(reader.take(rows).map((flags) => flags & KEPT));
  bytesOf(block.ends).set(reader.take(rows * 4));
  block.texts = Buffer.from(reader.rest());
  block.rows = rows;
  const facts = recordsOf<RowFacts>(lists, "facts");
  append(
    block.facts,
    facts.map((one) => pool.facts({ ...one, namespace: placeOf(one, rules) })),
  );
  append(
    block.counts,
    recordsOf<RowCounts>(lists, "counts").map((one) => pool.counts(one)),
  );
  append(
    block.nodes,
    textsOf(lists, "nodes").map((text) => (text === null ? undefined : pool.name(text))),
  );
  append(
    block.images,
    textsOf(lists, "images").map((text) => (text === null ? undefined : pool.name(text))),
  );
  append(
    block.summaries,
    textsOf(lists, "summaries").map((text) => pool.text(text ?? "")),
  );
  checkRows(block);
  return block;
}

function checkRows(block: RowBlock): void {
  const lengths = {
    facts: block.facts,
    counts: block.counts,
    node: block.nodes,
    image: block.images,
    summary: block.summaries,
  };
  for (const name of REFS) {
    const { length } = lengths[name];
    if (block.refs[name].some((ref) => ref >= length)) throw new NoBlock(`a row refers to no ${name}`);
  }
  for (const name of ["crashedAt", "storedAt"] as const) {
    if (!block.numbers[name].every((time) => Math.abs(time) <= TIME_MAX_MS)) throw new NoBlock(`a row has no ${name}`);
  }
  for (const name of ["coreBytes", "coreStoredBytes"] as const) {
    if (!block.numbers[name].every((bytes) => bytes >= 0 && bytes <= Number.MAX_SAFE_INTEGER))
      throw new NoBlock(`a row has no ${name}`);
  }
  for (let row = 0; row < block.rows; row += 1) {
    const end = block.ends[row] ?? 0;
    if (end < block.startOf(row) || end > block.texts.length) throw new NoBlock("the texts of a row are not there");
    if (boundsOf(block, row, TEXTS.length - 1)[1] !== end)
      throw new NoBlock("the texts of a row are not what they say");
    checkStem(block, row);
  }
}

/** A key: what a listing could not have shown is refused. */
function checkStem(block: RowBlock, row: number): void {
  const [start, end] = boundsOf(block, row, 0);
  if (start === end) throw new NoBlock("a row has no key");
  let before = 0x2f;
  for (let at = start; at < end; at += 1) {
    const byte = block.texts[at] ?? 0;
    // A packed part has any bytes.
    if (byte >= 0xfe) return;
    const isBad = byte < 0x20 || byte === 0x7f || (before === 0x2f && (byte === 0x2f || byte === 0x2e));
    if (isBad) throw new NoBlock("a row's key is none");
    before = byte;
  }
}

async function readLists(json: Buffer): Promise<Lists> {
  const value = await parseInThread("segment", json, "a segment", LISTS_LIMITS).catch((error: unknown) => {
    throw new NoBlock("its lists are not readable", { cause: error });
  });
  if (!isRecord(value)) throw new NoBlock("its lists are not readable");
  return value as unknown as Lists;
}

function recordsOf<T extends object>(lists: Lists, which: "facts" | "counts"): T[] {
  const kinds = LISTS[which] as Readonly<Record<string, FactKind>>;
  const names = isRecord(lists.fields) ? lists.fields[which] : undefined;
  const all = (lists as Partial<Lists>)[which];
  if (!isArray(names) || !isArray(all)) throw new NoBlock(`it has no ${which}`);
  const at = Object.entries(kinds).map(([name, kind]) => ({ name, kind, index: names.indexOf(name) }));
  return all.map((values) => {
    if (!isArray(values)) throw new NoBlock(`its ${which} are not readable`);
    const record: Record<string, unknown> = {};
    for (const { name, kind, index } of at) {
      const value = index < 0 || values[index] === null ? undefined : values[index];
      if (name !== "namespace" && !isOfKind(value, kind)) throw new NoBlock(`it has a ${name} that is none`);
      record[name] = name === "namespace" ? "" : value;
    }
    return record as T;
  });
}

function isOfKind(value: unknown, kind: FactKind): boolean {
  if (value === undefined) return kind.endsWith("?");
  const type = kind.replace("?", "");
  if (type === "text") return isText(value);
  return type === "number" ? typeof value === "number" && Number.isFinite(value) : typeof value === "boolean";
}

function textsOf(lists: Lists, which: "nodes" | "images" | "summaries"): (string | null)[] {
  const texts = (lists as Partial<Lists>)[which];
  if (!isArray(texts) || !texts.every((text) => text === null || isText(text))) throw new NoBlock(`it has no ${which}`);
  return texts as (string | null)[];
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_MAX;
}

function isArray(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

function bytesOf(column: Float64Array | Uint16Array | Uint32Array): Buffer {
  return Buffer.from(column.buffer, column.byteOffset, column.byteLength);
}

/** Reads bytes one after the other. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint32(): number {
    return this.take(4).readUInt32LE(0);
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new NoBlock("it ends too early");
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }
}
