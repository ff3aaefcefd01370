import type { DumpRecord } from "./dump-record.ts";
import { packText, unpackText } from "./packed-text.ts";
import { packWhere, unpackWhere } from "./packed-where.ts";
import { KEPT, NAME_IN_STEM, type RowBlock, TEXTS } from "./row-block.ts";
import type { RowCounts, RowFacts } from "./row-facts.ts";
import { shortText } from "./short-text.ts";

/** A record that is a row of a block: it holds nothing but where. */
export class PackedRecord implements DumpRecord {
  readonly block: RowBlock;
  readonly row: number;

  constructor(block: RowBlock, row: number) {
    this.block = block;
    this.row = row;
  }

  get #facts(): RowFacts {
    return this.block.facts[this.block.refs.facts[this.row] ?? -1] as RowFacts;
  }
  get #counts(): RowCounts {
    return this.block.counts[this.block.refs.counts[this.row] ?? -1] as RowCounts;
  }

  get stem(): string {
    return this.#text(0) ?? "";
  }
  get name(): string {
    return nameAt(this.block, this.row);
  }
  get manifestStamp(): string {
    return this.#text(2) ?? "";
  }
  get podName(): string | undefined {
    return this.#text(3);
  }
  get podUid(): string | undefined {
    return this.#text(4);
  }
  get faultAddress(): string | undefined {
    return this.#text(5);
  }
  get where(): string | undefined {
    return unpackWhere(this.#text(6), this.summary);
  }
  get summary(): string {
    return this.block.summaries[this.block.refs.summary[this.row] ?? -1] ?? "";
  }
  get nodeName(): string | undefined {
    return this.block.nodes[this.block.refs.node[this.row] ?? -1];
  }
  get imageRef(): string | undefined {
    return this.block.images[this.block.refs.image[this.row] ?? -1];
  }
  get keep(): boolean {
    return ((this.block.flags[this.row] ?? 0) & KEPT) !== 0;
  }

  get crashedAt(): number {
    return this.block.numbers.crashedAt[this.row] ?? 0;
  }
  get storedAt(): number {
    return this.block.numbers.storedAt[this.row] ?? 0;
  }
  get revision(): number {
    return this.block.numbers.revision[this.row] ?? 0;
  }
  get coreBytes(): number {
    return this.block.numbers.coreBytes[this.row] ?? 0;
  }
  get coreStoredBytes(): number {
    return this.block.numbers.coreStoredBytes[this.row] ?? 0;
  }
  get bundleBytes(): number | undefined {
    return known(this.block.numbers.bundleBytes[this.row]);
  }
  get expectedBytes(): number | undefined {
    return known(this.block.numbers.expectedBytes[this.row]);
  }
  get pid(): number | undefined {
    return known(this.block.numbers.pid[this.row]);
  }

  get restartCount(): number | undefined {
    return this.#counts.restartCount;
  }
  get suppressedCount(): number | undefined {
    return this.#counts.suppressedCount;
  }
  get countedSince(): number | undefined {
    return this.#counts.countedSince;
  }
  get problemCount(): number {
    return this.#counts.problemCount;
  }

  get namespace(): string {
    return this.#facts.namespace;
  }
  get uid(): number | undefined {
    return this.#facts.uid;
  }
  get comm(): string | undefined {
    return this.#facts.comm;
  }
  get exe(): string | undefined {
    return this.#facts.exe;
  }
  get signalNumber(): number {
    return this.#facts.signalNumber;
  }
  get signalName(): string {
    return this.#facts.signalName;
  }
  get codeName(): string | undefined {
    return this.#facts.codeName;
  }
  get containerName(): string | undefined {
    return this.#facts.containerName;
  }
  get podNamespace(): string | undefined {
    return this.#facts.podNamespace;
  }
  get ownerKind(): string | undefined {
    return this.#facts.ownerKind;
  }
  get ownerName(): string | undefined {
    return this.#facts.ownerName;
  }
  get clusterName(): string | undefined {
    return this.#facts.clusterName;
  }
  get architecture(): string | undefined {
    return this.#facts.architecture;
  }
  get compression(): string {
    return this.#facts.compression;
  }
  get complete(): boolean {
    return this.#facts.complete;
  }
  get truncatedBy(): string | undefined {
    return this.#facts.truncatedBy;
  }
  get identitySource(): string | undefined {
    return this.#facts.identitySource;
  }
  get identityVerified(): boolean | undefined {
    return this.#facts.identityVerified;
  }
  get restricted(): boolean {
    return this.#facts.restricted;
  }
  get keepByPod(): boolean {
    return this.#facts.keepByPod;
  }
  get site(): string | undefined {
    return this.#facts.site;
  }
  get signature(): string | undefined {
    return this.#facts.signature;
  }

  #text(index: number): string | undefined {
    return textAt(this.block, this.row, index);
  }
}

function known(value: number | undefined): number | undefined {
  return value === undefined || Number.isNaN(value) ? undefined : value;
}

/** Read a row's name. */
export function nameAt(block: RowBlock, row: number): string {
  const [start, end] = boundsOf(block, row, 1);
  if (start === end || block.texts[start] !== NAME_IN_STEM) return unpackText(block.texts, start, end);
  const stem = textAt(block, row, 0) ?? "";
  const from = stem.lastIndexOf("/") + 1;
  return stem.slice(from, from + Number(block.texts.toString("latin1", start + 1, end)));
}

function textAt(block: RowBlock, row: number, index: number): string | undefined {
  const [start, end] = boundsOf(block, row, index);
  return start === end ? undefined : unpackText(block.texts, start, end);
}

/** Where one of a row's texts lies; the first one is its key, packed. */
export function boundsOf(block: RowBlock, row: number, index: number): readonly [number, number] {
  let at = block.startOf(row);
  for (let skipped = 0; ; skipped += 1) {
    const length = (block.texts[at] ?? 0) | ((block.texts[at + 1] ?? 0) << 8);
    at += LENGTH_BYTES;
    if (skipped === index) return [at, at + length];
    at += length;
  }
}

/** Before each text stands how many bytes it has. */
export const LENGTH_BYTES = 2;
const TEXT_MAX = 0xffff;

/** What is only shown; keys and stamps are compared. */
const SHORTENED: ReadonlySet<string> = new Set<(typeof TEXTS)[number]>(["podName", "podUid", "faultAddress"]);

/** Pack the texts that only this dump has. */
export function packTexts(record: DumpRecord): Buffer {
  const { stem, name } = record;
  const isInStem = name !== "" && stem.startsWith(name, stem.lastIndexOf("/") + 1);
  const packed = TEXTS.map((which) => {
    if (which === "name" && isInStem) return Buffer.from([NAME_IN_STEM, ...Buffer.from(String(name.length))]);
    if (which === "where") return packText(packWhere(record.where, record.summary));
    const text = record[which] ?? "";
    return packText(SHORTENED.has(which) ? shortText(text) : text);
  });
  return Buffer.concat(
    packed.flatMap((text) => {
      // A text is 8 KiB at most, which are 24 of UTF-8.
      const length = Math.min(text.length, TEXT_MAX);
      return [Buffer.from([length & 0xff, length >> 8]), text.subarray(0, length)];
    }),
  );
}
