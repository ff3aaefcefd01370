import { decodeText } from "@cdh/core/elf/bytes";
import type { ByteSource } from "../elf/byte-source.ts";

/** What Go's linker says of one function. Numbers as in `_func` of Go's runtime. */
export interface GoFunction {
  name: string;
  /** First address, and the one behind the last, as offsets from the start of Go's code. */
  start: number;
  end: number;
  flag: number;
  /** Where its tables lie; 0 for none. */
  pcsp: number;
  pcfile: number;
  pcln: number;
  unitOffset: number;
  inlineIndex: number;
  /** Offset of its inlining tree from `go:func.*`; undefined for none. */
  inlineTree: number | undefined;
}

/** Flags of {@link GoFunction.flag}. @see internal/abi/symtab.go */
export const GO_TOP_FRAME = 1;
export const GO_SP_WRITE = 2;
export const GO_ASSEMBLY = 4;

/** Versions 1.18 and 1.20 of the table; Go 1.26 still writes the latter. */
const MAGICS = new Map([
  [0xffff_fff0, 18],
  [0xffff_fff1, 20],
]);
const FUNCTIONS_MAX = 8_000_000;
/** A function of 64 KiB may have tables of some KiB. */
const PIECE_BYTES = 2048;
const TABLE_BYTES_MAX = 1024 * 1024;
const NAME_BYTES_MAX = 4096;
const FUNC_BYTES = 44;
const PCDATA_INLINE = 2;
const FUNCDATA_INLINE = 3;
const NONE = 0xffff_ffff;

/**
 * Read `.gopclntab`, which is in every Go program, stripped or not: functions, lines, frame sizes, inlined calls. Total:
 * what is damaged is not found.
 * @see runtime/symtab.go of Go 1.18 to 1.26
 */
export class PcLineTable {
  readonly source: ByteSource;
  readonly quantum: number;
  readonly wordBytes: number;
  /** Which Go wrote it, at least: 18 or 20. */
  readonly version: number;
  /** Address of the code's start as the table has it; 0 from Go 1.26 on, and where a loader would set it. */
  readonly textStart: bigint;
  readonly functions: number;
  readonly nameOffset: number;
  readonly #unitOffset: number;
  readonly #fileOffset: number;
  readonly #valueOffset: number;
  readonly #functionOffset: number;

  private constructor(
    source: ByteSource,
    shape: { version: number; wordBytes: number; quantum: number; words: number[]; textStart: bigint },
  ) {
    this.source = source;
    const { words } = shape;
    this.version = shape.version;
    this.wordBytes = shape.wordBytes;
    this.quantum = shape.quantum;
    this.textStart = shape.textStart;
    this.functions = words[0] ?? 0;
    this.nameOffset = words[3] ?? 0;
    this.#unitOffset = words[4] ?? 0;
    this.#fileOffset = words[5] ?? 0;
    this.#valueOffset = words[6] ?? 0;
    this.#functionOffset = words[7] ?? 0;
  }

  /** Open the table; undefined when this is none, or of a version that is not known. */
  static async tryOpen(source: ByteSource): Promise<PcLineTable | undefined> {
    const bytes = await source.read(0, 72);
    if (bytes.length < 40) return undefined;
    const head = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const version = MAGICS.get(head.getUint32(0, true));
    const [quantum, wordBytes] = [head.getUint8(6), head.getUint8(7)];
    if (version === undefined || head.getUint16(4, true) !== 0) return undefined;
    if (![1, 2, 4].includes(quantum) || (wordBytes !== 4 && wordBytes !== 8) || bytes.length < 8 + 8 * wordBytes)
      return undefined;
    const wordAt = (index: number): bigint =>
      wordBytes === 8 ? head.getBigUint64(8 + 8 * index, true) : BigInt(head.getUint32(8 + 4 * index, true));
    const words = Array.from({ length: 8 }, (_, index) => Number(wordAt(index)));
    const [functions = 0] = words;
    if (functions === 0 || functions > FUNCTIONS_MAX || words.slice(3).some((offset) => offset > source.sizeBytes))
      return undefined;
    return new PcLineTable(source, { version, wordBytes, quantum, words, textStart: wordAt(2) });
  }

  /** Find the function that holds an offset from the start of Go's code. */
  async find(offset: number): Promise<GoFunction | undefined> {
    if (offset < 0 || offset > 0xffff_fffe) return undefined;
    let low = 0;
    let high = this.functions - 1;
    let found: DataView | undefined;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const row = await this.#view(this.#functionOffset + 8 * middle, 12);
      if (row === undefined) return undefined;
      if (row.getUint32(0, true) <= offset) {
        found = row;
        low = middle + 1;
      } else high = middle - 1;
    }
    // The end of a function is the next one's start; of the last one, the end of the code.
    if (found === undefined || offset >= found.getUint32(8, true)) return undefined;
    return this.#read(found.getUint32(0, true), found.getUint32(8, true), found.getUint32(4, true));
  }

  async #read(start: number, end: number, at: number): Promise<GoFunction | undefined> {
    const place = this.#functionOffset + at;
    const view = await this.#view(place, FUNC_BYTES);
    if (view === undefined || view.getUint32(0, true) !== start) return undefined;
    // Go 1.18 and 1.19 have no line of the start.
    const tail = this.version >= 20 ? 40 : 36;
    const valueTables = view.getUint32(28, true);
    const dataTables = view.getUint8(tail + 3);
    const fixed = tail + 4;
    const more = await this.#view(place + fixed, 4 * Math.min(valueTables + dataTables, 64));
    const word = (index: number): number | undefined =>
      more !== undefined && 4 * index + 4 <= more.byteLength ? more.getUint32(4 * index, true) : undefined;
    const tree = dataTables > FUNCDATA_INLINE ? word(valueTables + FUNCDATA_INLINE) : undefined;
    return {
      name: await this.name(view.getInt32(4, true)),
      start,
      end,
      flag: view.getUint8(tail + 1),
      pcsp: view.getUint32(16, true),
      pcfile: view.getUint32(20, true),
      pcln: view.getUint32(24, true),
      unitOffset: view.getUint32(32, true),
      inlineIndex: valueTables > PCDATA_INLINE ? (word(PCDATA_INLINE) ?? 0) : 0,
      inlineTree: tree === NONE ? undefined : tree,
    };
  }

  /** Read the name at an offset into the table of names. */
  async name(offset: number): Promise<string> {
    return this.#text(this.nameOffset + offset);
  }

  /** Read the value that one of a function's tables has at an offset; undefined where it has none. */
  async value(table: number, { start, end }: GoFunction, offset: number): Promise<number | undefined> {
    if (table === 0) return undefined;
    for (let bytes = PIECE_BYTES; bytes <= TABLE_BYTES_MAX; bytes *= 8) {
      const piece = await this.source.read(this.#valueOffset + table, bytes);
      const found = searchValues(piece, start, end, offset, this.quantum);
      if (found !== "short") return found;
      if (piece.length < bytes) return undefined;
    }
    return undefined;
  }

  /** Tell the source file and line of an offset. */
  async line(fn: GoFunction, offset: number): Promise<{ file: string; line: number } | undefined> {
    const [file, line] = [await this.value(fn.pcfile, fn, offset), await this.value(fn.pcln, fn, offset)];
    if (file === undefined || file < 0 || line === undefined || line < 0) return undefined;
    const entry = await this.#view(this.#unitOffset + 4 * (fn.unitOffset + file), 4);
    const at = entry?.getUint32(0, true);
    if (at === undefined || at === NONE) return undefined;
    const text = await this.#text(this.#fileOffset + at);
    return text === "" ? undefined : { file: text, line };
  }

  async #text(offset: number): Promise<string> {
    if (offset < 0 || offset >= this.source.sizeBytes) return "";
    const bytes = await this.source.read(offset, NAME_BYTES_MAX);
    return bytes.includes(0) ? decodeText(bytes) : "";
  }

  async #view(offset: number, length: number): Promise<DataView | undefined> {
    if (length <= 0) return undefined;
    const bytes = await this.source.read(offset, length);
    return bytes.length < length ? undefined : new DataView(bytes.buffer, bytes.byteOffset, length);
  }
}

/** Pairs of steps: of the value, with the sign in the lowest bit, and of the address. */
function searchValues(
  bytes: Uint8Array,
  start: number,
  end: number,
  offset: number,
  quantum: number,
): number | undefined | "short" {
  let [at, value, address] = [0, -1, start];
  const number = (): number | undefined => {
    let [result, shift] = [0, 0];
    for (; shift < 35; shift += 7) {
      const byte = bytes[at];
      if (byte === undefined) return undefined;
      at += 1;
      result += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return result;
    }
    return undefined;
  };
  for (let isFirst = true; ; isFirst = false) {
    const step = number();
    if (step === undefined) return "short";
    if (step === 0 && !isFirst) return undefined;
    const distance = number();
    if (distance === undefined) return "short";
    value = (value + (step % 2 === 1 ? -((step - 1) / 2) - 1 : step / 2)) | 0;
    address += distance * quantum;
    if (offset < address) return value;
    if (address >= end || distance === 0) return undefined;
  }
}
