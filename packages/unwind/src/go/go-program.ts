import { fieldsOf, type ElfFile } from "../elf/elf-file.ts";
import { findNamed } from "../elf/symbols.ts";
import { readGoVersion, type GoVersion } from "./build-version.ts";
import { PcLineTable, type GoFunction } from "./pclntab.ts";

/** Where a Go function, inlined or not, was. */
export interface GoLine {
  function: string;
  file?: string;
  line?: number;
}

/** Reads what the loader made of the program's data; undefined where that is not known. Addresses of the file. */
export type ReadLoaded = (vaddr: bigint, length: number) => Promise<Uint8Array | undefined>;

/** Fields of `moduledata`, in words, since Go 1.20. @see runtime/symtab.go */
const MODULE = { names: 1, minPc: 20, maxPc: 21, text: 22, zeroed: 28, zeroedEnd: 29, functions: 40, words: 41 };
/** Sections that hold `moduledata`, by version and way of linking. */
const MODULE_SECTIONS = [".go.module", ".noptrdata", ".data.rel.ro", ".data"];
const SECTION_MAX_BYTES = 64 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const TABLE_SECTIONS = [".gopclntab", ".data.rel.ro.gopclntab"];
/** Calls inlined into each other. */
const INLINED_MAX = 64;
const INLINED_CALL_BYTES = 16;

/** What `moduledata` says. Addresses of the file. */
interface ModuleData {
  text: bigint;
  functions: bigint;
  /** Variables with pointers in them that the file has no bytes of (`.bss`). */
  zeroed: { start: bigint; end: bigint };
}

/** What is known of one Go program or library. Addresses are those of the file. */
export class GoProgram {
  readonly table: PcLineTable;
  /** Where variables with pointers in them lie that are zero at first; undefined where `moduledata` is not found. */
  readonly zeroed: ModuleData["zeroed"] | undefined;
  readonly #elf: ElfFile;
  readonly #text: bigint;
  /** Address of `go:func.*`, which inlining trees are counted from. */
  readonly #trees: bigint | undefined;
  #version: Promise<GoVersion | undefined> | undefined;
  readonly #known = new Map<number, Promise<GoFunction | undefined>>();

  private constructor(
    table: PcLineTable,
    elf: ElfFile,
    { text, functions, zeroed }: Partial<ModuleData> & { text: bigint },
  ) {
    this.table = table;
    this.#elf = elf;
    this.#text = text;
    this.#trees = functions;
    this.zeroed = zeroed;
  }

  /**
   * Open what Go's linker wrote into a file; undefined when it is no Go program.
   * @param readLoaded the data as the loader left it, which has the addresses that a position-independent file lacks
   */
  static async tryOpen(elf: ElfFile, readLoaded?: ReadLoaded): Promise<GoProgram | undefined> {
    if (!elf.header.little) return undefined;
    for (const name of TABLE_SECTIONS) {
      const found = await elf.section(name);
      const table = found === undefined ? undefined : await PcLineTable.tryOpen(found.data);
      if (found === undefined || table === undefined) continue;
      const module = await findModuleData(elf, table, found.section.vaddr, readLoaded);
      const named = module === undefined ? await findNamed(elf, new Set(["runtime.text", "go:func.*"])) : undefined;
      const section = (await elf.sections()).find((one) => one.name === ".text");
      const text = module?.text ?? named?.get("runtime.text") ?? (table.textStart || undefined) ?? section?.vaddr;
      const functions = module?.functions ?? named?.get("go:func.*");
      if (text !== undefined)
        return new GoProgram(table, elf, { ...module, text, ...(functions === undefined ? {} : { functions }) });
    }
    return undefined;
  }

  /** The version of Go that it was built with; undefined where the file does not tell. */
  version(): Promise<GoVersion | undefined> {
    return (this.#version ??= readGoVersion(this.#elf));
  }

  /** Find the function at an address. */
  async find(vaddr: bigint): Promise<{ fn: GoFunction; offset: number } | undefined> {
    const distance = vaddr - this.#text;
    if (distance < 0n || distance > 0xffff_ffffn) return undefined;
    const offset = Number(distance);
    const known = this.#known.get(offset) ?? this.table.find(offset);
    if (this.#known.size < 4096) this.#known.set(offset, known);
    const fn = await known;
    return fn === undefined ? undefined : { fn, offset };
  }

  /** Tell how many bytes the function at an address has on the stack there. */
  async frameBytes({ fn, offset }: { fn: GoFunction; offset: number }): Promise<number | undefined> {
    return this.table.value(fn.pcsp, fn, offset);
  }

  /** Tell the functions that an address is in, the innermost inlined one first, the one that has the frame last. */
  async lines({ fn, offset }: { fn: GoFunction; offset: number }): Promise<GoLine[]> {
    const lines: GoLine[] = [];
    let [at, name] = [offset, ""];
    for (let depth = 0; depth < INLINED_MAX; depth += 1) {
      const inlined = await this.#inlinedAt(fn, at);
      name = inlined === undefined ? fn.name : inlined.name;
      lines.push({ function: name, ...(await this.table.line(fn, at)) });
      // The caller's place is an instruction of the same function, before this one's in the tree.
      if (inlined === undefined || inlined.parent >= fn.end) break;
      at = inlined.parent;
    }
    return lines;
  }

  async #inlinedAt(fn: GoFunction, offset: number): Promise<{ name: string; parent: number } | undefined> {
    if (this.#trees === undefined || fn.inlineTree === undefined || this.table.version < 20) return undefined;
    const index = await this.table.value(fn.inlineIndex, fn, offset);
    if (index === undefined || index < 0) return undefined;
    const place = this.#trees + BigInt(fn.inlineTree) + BigInt(index * INLINED_CALL_BYTES);
    const bytes = await this.#elf.readVaddr(place, INLINED_CALL_BYTES);
    if (bytes === undefined) return undefined;
    const field = fieldsOf(this.#elf, bytes);
    const name = await this.table.name(field.i32(4));
    const parent = fn.start + field.i32(8);
    return name === "" || parent < fn.start || parent === offset ? undefined : { name, parent };
  }
}

/** Find `moduledata` by its first word, the address of the table, in the data as loaded or as the file has it. */
async function findModuleData(
  elf: ElfFile,
  table: PcLineTable,
  tableVaddr: bigint,
  readLoaded: ReadLoaded | undefined,
): Promise<ModuleData | undefined> {
  if (table.version < 20) return undefined;
  const sections = (await elf.sections()).filter(({ name }) => MODULE_SECTIONS.includes(name));
  const fileData: ReadLoaded = (at, length) => elf.readUpToVaddr(at, length);
  for (const read of readLoaded === undefined ? [fileData] : [readLoaded, fileData]) {
    for (const { vaddr, sizeBytes } of sections) {
      const size = Math.min(sizeBytes, SECTION_MAX_BYTES);
      for (let at = 0; at < size; at += PIECE_BYTES) {
        const length = Math.min(PIECE_BYTES + MODULE.words * table.wordBytes, size - at);
        const bytes = await read(vaddr + BigInt(at), length);
        const found = bytes === undefined ? undefined : searchModuleData(elf, table, tableVaddr, bytes);
        if (found !== undefined) return found;
      }
    }
  }
  return undefined;
}

function searchModuleData(
  elf: ElfFile,
  { wordBytes, nameOffset }: PcLineTable,
  tableVaddr: bigint,
  bytes: Uint8Array,
): ModuleData | undefined {
  const field = fieldsOf(elf, bytes);
  const lowBits = Number(tableVaddr & 0xfffn);
  for (let at = 0; at + MODULE.words * wordBytes <= bytes.length; at += wordBytes) {
    // The loader moves all addresses by the same number of pages.
    if ((field.u32(at) & 0xfff) !== lowBits) continue;
    const first = field.word(at);
    if (first === 0n) continue;
    const word = (index: number): bigint => field.word(at + index * wordBytes) - (first - tableVaddr);
    if (word(MODULE.names) !== tableVaddr + BigInt(nameOffset)) continue;
    const [text, low, high] = [word(MODULE.text), word(MODULE.minPc), word(MODULE.maxPc)];
    const zeroed = { start: word(MODULE.zeroed), end: word(MODULE.zeroedEnd) };
    if (text <= low && low < high && elf.isExecutable(low) === true)
      return { text, functions: word(MODULE.functions), zeroed };
  }
  return undefined;
}
