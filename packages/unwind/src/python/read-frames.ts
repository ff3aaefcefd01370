import { readWord, type ReadMemory } from "../tables/memory.ts";
import type { PythonRuntime } from "./find-runtime.ts";
import type { PythonLayout } from "./layouts.ts";
import { lineAt, readExactly, readLineTable, readText, unitOf } from "./python-objects.ts";

/** One function of Python on a stack. */
export interface PythonFrame {
  /** With the class that it belongs to: `Cart.total`. */
  function: string;
  file: string;
  /** Absent where the instruction has none. */
  line?: number;
}

/** The Python frames of one thread, innermost first. */
export interface PythonStack {
  /** One list for each call of the interpreter's loop that is on the native stack. */
  calls: PythonFrame[][];
  /** Why the list ends before its outermost frame. */
  endsHere?: string;
}

const INTERPRETERS_MAX = 256;
const THREADS_MAX = 100_000;
const FRAMES_MAX = 10_000;
const CODES_MAX = 20_000;
/** Tables of lines that are looked through for all frames, in bytes. */
const TABLES_MAX_BYTES = 64 * 1024 * 1024;
/** A frame that only says that the loop was called from C (3.12 and newer). */
const OWNED_BY_C = 3;
const OWNERS = 4;

/** What is known of a function's code. */
interface Code {
  function: string;
  file: string;
  firstLine: number;
  table: Uint8Array | undefined;
}

/** Reads the frames of an interpreter's threads. Memory is hostile: lists and stacks are bounded, and end where they are not what they should be. */
export class PythonFrames {
  readonly #read: ReadMemory;
  readonly #runtime: PythonRuntime;
  readonly #codes = new Map<bigint, Promise<Code | undefined>>();
  #tableBytes = 0;

  constructor(runtime: PythonRuntime, read: ReadMemory) {
    this.#runtime = runtime;
    this.#read = read;
  }

  /** Find the state of each thread, by the thread's id. */
  async threads(): Promise<Map<number, bigint>> {
    const { layout, address } = this.#runtime;
    const found = new Map<number, bigint>();
    const seen = new Set<bigint>();
    let interpreter = await this.#word(address, layout.interpreters);
    for (let count = 0; count < INTERPRETERS_MAX && isNew(interpreter, seen); count += 1) {
      let thread = await this.#word(interpreter, layout.threads);
      while (found.size < THREADS_MAX && isNew(thread, seen)) {
        const id = await this.#word(thread, layout.nativeId);
        if (id !== undefined && id > 0n && id <= 0x7fff_ffffn && !found.has(Number(id))) found.set(Number(id), thread);
        thread = await this.#word(thread, layout.nextThread);
      }
      interpreter = await this.#word(interpreter, layout.nextInterpreter);
    }
    return found;
  }

  /** Read the stack of a thread by its state. */
  async stack(thread: bigint): Promise<PythonStack> {
    const { layout } = this.#runtime;
    const holder = layout.cframe < 0 ? thread : await this.#word(thread, layout.cframe);
    let frame = await this.#word(holder, layout.currentFrame);
    if (frame === undefined) return { calls: [], endsHere: "the core does not hold the thread's state" };
    const calls: PythonFrame[][] = [];
    const seen = new Set<bigint>();
    let call: PythonFrame[] = [];
    for (let count = 0; frame !== 0n; count += 1) {
      if (count === FRAMES_MAX || !isNew(frame, seen))
        return { calls: [...calls, call], endsHere: "the list of frames is damaged, or too long" };
      const one = await this.#frame(frame);
      if (one === undefined) return { calls: [...calls, call], endsHere: `no Python frame at 0x${frame.toString(16)}` };
      if (one.shown !== undefined) call.push(one.shown);
      if (one.isLast) {
        calls.push(call);
        call = [];
      }
      frame = one.previous;
    }
    return call.length === 0 ? { calls } : { calls: [...calls, call] };
  }

  async #frame(address: bigint): Promise<{ shown?: PythonFrame; isLast: boolean; previous: bigint } | undefined> {
    const { layout } = this.#runtime;
    const length = Math.max(layout.previous, layout.code, layout.instruction, layout.owner, layout.isEntry) + 8;
    const bytes = address % 8n === 0n ? await readExactly(this.#read, address, length) : undefined;
    if (bytes === undefined) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const previous = view.getBigUint64(layout.previous, true);
    const owner = view.getUint8(layout.owner);
    if (owner >= OWNERS) return undefined;
    if (layout.isEntry < 0 && owner === OWNED_BY_C) return { isLast: true, previous };
    const isLast = layout.isEntry >= 0 && view.getUint8(layout.isEntry) !== 0;
    const at = view.getBigUint64(layout.code, true);
    const code = await this.#code(at);
    if (code === undefined) return undefined;
    const unit = unitOf(view.getBigUint64(layout.instruction, true), at, layout);
    if (unit === undefined) return undefined;
    const line = code.table === undefined || unit < 0 ? undefined : lineAt(code.table, code.firstLine, unit);
    const shown = { function: code.function, file: code.file, ...(line === undefined ? {} : { line }) };
    return { shown, isLast, previous };
  }

  #code(address: bigint): Promise<Code | undefined> {
    const known = this.#codes.get(address);
    if (known !== undefined) return known;
    const code = this.#readCode(address, this.#runtime.layout);
    if (this.#codes.size < CODES_MAX) this.#codes.set(address, code);
    return code;
  }

  async #readCode(address: bigint, layout: PythonLayout): Promise<Code | undefined> {
    const name = await this.#text(await this.#word(address, layout.qualifiedName), layout);
    const file = await this.#text(await this.#word(address, layout.fileName), layout);
    const first = await readExactly(this.#read, address + BigInt(layout.firstLine), 4);
    const lines = await this.#word(address, layout.lineTable);
    if (name === undefined || file === undefined || first === undefined || lines === undefined) return undefined;
    const firstLine = new DataView(first.buffer, first.byteOffset, 4).getInt32(0, true);
    const table = this.#tableBytes > TABLES_MAX_BYTES ? undefined : await readLineTable(lines, this.#read, layout);
    this.#tableBytes += table?.length ?? 0;
    return { function: name, file, firstLine, table };
  }

  async #text(address: bigint | undefined, layout: PythonLayout): Promise<string | undefined> {
    return address === undefined ? undefined : readText(address, this.#read, layout);
  }

  async #word(address: bigint | undefined, offset: number): Promise<bigint | undefined> {
    return address === undefined || address === 0n ? undefined : readWord(this.#read, address + BigInt(offset), 8);
  }
}

function isNew(address: bigint | undefined, seen: Set<bigint>): address is bigint {
  if (address === undefined || address === 0n || seen.has(address)) return false;
  seen.add(address);
  return true;
}
