import { isRuntimeFile, isSystemFile } from "@cdh/core/groups/frame-rules";
import { isAfterCall, isAfterCallOnArm64 } from "@cdh/unwind/walk/call-before";
import { mappingAt } from "./held-process.ts";
import type { Mapping } from "./maps.ts";
import { readMemory } from "./read-memory.ts";

/** An address of code, and the mapping of a file that it is in; undefined where it is in none. */
export interface CodeAddress {
  address: bigint;
  mapping: Mapping | undefined;
  /** Where on the stack it stands, in bytes from its beginning; absent of what registers or a signal's frame say. */
  distance?: number;
}

/** Calls of one stack that are told. */
const CALLS_MAX = 96;
/** Words of one stack whose code is looked at, and pages of code that are read. */
const WORDS_MAX = 256;
const PAGES_MAX = 256;
const PAGE_BYTES = 4096n;
/** What returns from a signal's handler on x64: `mov $15, %rax; syscall`. @see rt_sigreturn(2) */
const SIGNAL_RETURN = Buffer.from("48c7c00f0000000f05", "hex");
/** From the word that leads there to the program counter which the kernel saved. @see ucontext.h, struct rt_sigframe */
const SAVED_PC_BYTES = 8 + 16 + 24 + 16 * 8;

/**
 * What the words of a stack tell of calls. A word counts as one when it points behind a call instruction in a file of the
 * program's own: nothing else of the word is believed, and nothing is walked.
 */
export class StackCalls {
  readonly #mem: number;
  readonly #mappings: readonly Mapping[];
  readonly #isArm64: boolean;
  /** Upper halves of addresses of code: few words have one of them. */
  readonly #uppers: ReadonlySet<number>;
  readonly #pages = new Map<bigint, Promise<Buffer | undefined>>();

  /** @param mem of /proc/<pid>/mem; @param machine as the core names it */
  constructor(mem: number, mappings: readonly Mapping[], machine: string | undefined) {
    this.#mem = mem;
    this.#mappings = mappings;
    this.#isArm64 = machine === "arm64";
    const code = mappings.filter(({ isExecutable }) => isExecutable);
    this.#uppers = new Set(code.flatMap(({ start, end }) => [upperOf(start), upperOf(end - 1n)]));
  }

  /** Say in which file an address of code is. */
  at(address: bigint): CodeAddress {
    const mapping = mappingAt(this.#mappings, address);
    return { address, mapping: mapping?.isExecutable === true && isFile(mapping.path) ? mapping : undefined };
  }

  /**
   * Find the calls on a stack, the innermost first, each once, and what signals interrupted on it.
   * @param first of the first whole word, in bytes
   * @returns undefined where a signal's frame cannot be read on this machine
   */
  async on(stack: Buffer, first: number): Promise<CodeAddress[] | undefined> {
    const seen = new Set<bigint>();
    const found: CodeAddress[] = [];
    for (let at = first; at + 8 <= stack.length && seen.size < WORDS_MAX && found.length < CALLS_MAX; at += 8) {
      if (!this.#uppers.has(stack.readUInt32LE(at + 4))) continue;
      const address = stack.readBigUInt64LE(at);
      if (seen.has(address)) continue;
      const mapping = mappingAt(this.#mappings, address);
      if (mapping?.isExecutable !== true) continue;
      seen.add(address);
      if (isOwnFile(mapping.path)) {
        if (await this.#isCall(address)) found.push({ address, mapping, distance: at });
      } else if (this.#isArm64) {
        if (mapping.path === "[vdso]") return undefined;
      } else if ((await this.#read(address, SIGNAL_RETURN.length))?.equals(SIGNAL_RETURN) === true) {
        const saved = at + SAVED_PC_BYTES;
        if (saved + 8 <= stack.length) found.push(this.at(stack.readBigUInt64LE(saved)));
      }
    }
    return found;
  }

  async #isCall(address: bigint): Promise<boolean> {
    const read = async (start: bigint, length: number): Promise<Buffer | undefined> => this.#read(start, length);
    return (await (this.#isArm64 ? isAfterCallOnArm64 : isAfterCall)(address, read)) === true;
  }

  async #read(address: bigint, length: number): Promise<Buffer | undefined> {
    const offset = Number(address % PAGE_BYTES);
    const start = address - BigInt(offset);
    const pages = [await this.#page(start)];
    if (offset + length > Number(PAGE_BYTES)) pages.push(await this.#page(start + PAGE_BYTES));
    if (pages.includes(undefined)) return undefined;
    return Buffer.concat(pages as Buffer[]).subarray(offset, offset + length);
  }

  #page(start: bigint): Promise<Buffer | undefined> {
    const known = this.#pages.get(start);
    if (known !== undefined || this.#pages.size >= PAGES_MAX) return known ?? Promise.resolve(undefined);
    const reading = readMemory(this.#mem, start, Number(PAGE_BYTES)).then((page) =>
      page?.length === Number(PAGE_BYTES) ? page : undefined,
    );
    this.#pages.set(start, reading);
    return reading;
  }
}

function upperOf(address: bigint): number {
  return Number(address >> 32n);
}

/** Tell whether a file is the program's or a library's own: no libc, no loader, nothing that runs others' code. */
export function isOwnFile(path: string): boolean {
  return isFile(path) && !isSystemFile(path) && !isRuntimeFile(path);
}

/** Tell whether a mapping is of a file. */
export function isFile(path: string): boolean {
  return path.startsWith("/");
}
