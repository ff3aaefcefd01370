import type { CoreThread } from "@cdh/core/elf/facts";
import { makeRangeIndex } from "@cdh/core/elf/range-index";
import { PYTHON_COOKIE, readOwnOffsets, type PythonRuntime } from "@cdh/unwind/python/find-runtime";
import { PYTHON_LAYOUTS } from "@cdh/unwind/python/layouts";
import { PythonFrames } from "@cdh/unwind/python/read-frames";
import { readWord, type ReadMemory } from "@cdh/unwind/tables/memory";
import type { HeldProcess } from "./held-process.ts";
import type { Mapping } from "./maps.ts";
import { readMemory } from "./read-memory.ts";
import type { MemoryChunk } from "./take-memory.ts";

/** The interpreter's own file, by its usual names. */
const INTERPRETER = /\/(?:lib)?python3\.(\d{1,2})[a-z]*(?:\.so[\d.]*)?$/;
const PAGE = 4096n;
/** Pages of objects and frames that are read. */
const PAGES_MAX = 1024;
/** Of the interpreter's variables, in bytes. */
const VARIABLES_MAX_BYTES = 4 * 1024 * 1024;
/** How far behind the interpreter's code its variables begin, at most. */
const BEHIND_MAX_BYTES = 16n * 1024n * 1024n;
/** Places that may be `_PyRuntime`. */
const CANDIDATES_MAX = 64;
/** Files with such a name that are looked at. */
const FILES_MAX = 4;
/** Threads whose frames are read; the crashed one is the first. */
const THREADS_MAX = 64;

/** Tell which version of Python a file runs; undefined for other files. */
export function pythonVersionOf(path: string): number | undefined {
  const minor = INTERPRETER.exec(path.replace(/ \(deleted\)$/, ""))?.[1];
  return minor === undefined ? undefined : Number(minor);
}

/**
 * Read the memory that the functions of Python on the stacks are told by, while the process is held: the interpreter's
 * variables, and the pages that its lists of threads and frames lead to. Nothing is believed but where to read: who walks the
 * stacks finds the interpreter by its symbols. Total and bounded; what cannot be read is left out.
 * @param given the threads, and what is taken of their stacks
 */
export async function takePython(
  held: HeldProcess,
  given: { threads: readonly CoreThread[]; taken: readonly MemoryChunk[] },
  stop: AbortSignal,
): Promise<MemoryChunk[]> {
  // Where there is a library, the program is only a few lines that call it.
  const files = held.mappings
    .filter(({ path }) => pythonVersionOf(path) !== undefined)
    .toSorted((left, right) => Number(isLibrary(right)) - Number(isLibrary(left)));
  for (const code of files.slice(0, FILES_MAX)) {
    const chunks = await takeOf(code, held, given, stop);
    if (chunks.length > 0) return chunks;
  }
  return [];
}

function isLibrary({ path }: Mapping): boolean {
  return path.includes("/libpython");
}

async function takeOf(
  code: Mapping,
  { mem, mappings }: HeldProcess,
  given: { threads: readonly CoreThread[]; taken: readonly MemoryChunk[] },
  stop: AbortSignal,
): Promise<MemoryChunk[]> {
  const minor = pythonVersionOf(code.path);
  if (mem === undefined || minor === undefined) return [];
  const chunks: MemoryChunk[] = [];
  let room = VARIABLES_MAX_BYTES;
  for (const { start, end } of variablesOf(mappings, code)) {
    const bytes = await readMemory(mem, start, Math.min(Number(end - start), room));
    room -= bytes?.length ?? 0;
    if (bytes !== undefined) chunks.push({ address: start, bytes });
    if (room <= 0 || stop.aborted) break;
  }
  const variables = [...chunks];
  // A page of its own would hide the rest of a stack that it is in the middle of.
  const find = makeRangeIndex(
    [...given.taken, ...variables].map(({ address, bytes }) => ({
      start: address,
      end: address + BigInt(bytes.length),
      bytes,
    })),
  );
  const pages = new Map<bigint, Promise<Buffer | undefined>>();
  const read = async (address: bigint, length: number): Promise<Uint8Array | undefined> => {
    const known = find(address);
    const start = address - (address % PAGE);
    const within = Number(address - (known?.start ?? start));
    if (known !== undefined) return known.bytes.subarray(within, within + length);
    const page =
      pages.get(start) ?? (stop.aborted || pages.size >= PAGES_MAX ? undefined : readMemory(mem, start, Number(PAGE)));
    if (page === undefined) return undefined;
    if (!pages.has(start)) {
      pages.set(start, page);
      const bytes = await page;
      if (bytes !== undefined) chunks.push({ address: start, bytes });
    }
    return (await page)?.subarray(within, within + length);
  };
  const ids = new Set(given.threads.map(({ tid }) => tid));
  const found = await findThreads(variables, minor, read, ids);
  if (found === undefined) return [];
  const { frames, states } = found;
  const wanted = given.threads
    .toSorted((left, right) => Number(right.crashed) - Number(left.crashed))
    .slice(0, THREADS_MAX);
  for (const { tid } of wanted) {
    const state = states.get(tid);
    if (state !== undefined && !stop.aborted) await frames.stack(state);
  }
  return chunks;
}

/** What is written to right behind the interpreter's code. */
function variablesOf(mappings: readonly Mapping[], code: Mapping): Mapping[] {
  const found: Mapping[] = [];
  let end = code.end;
  for (const one of mappings) {
    if (one.start < code.end) continue;
    // The next file's code.
    if (one.isExecutable || one.start - end > BEHIND_MAX_BYTES) break;
    if (found.length > 0 && one.start !== end) break;
    if (one.isWritable) found.push(one);
    end = one.end;
  }
  return found;
}

/** Threads of the interpreter that a candidate for `_PyRuntime` leads to; it is none where they are not the process's. */
async function findThreads(
  variables: readonly MemoryChunk[],
  minor: number,
  read: ReadMemory,
  ids: ReadonlySet<number>,
): Promise<{ frames: PythonFrames; states: ReadonlyMap<number, bigint> } | undefined> {
  let tried = 0;
  for (const { address, bytes } of variables) {
    for await (const runtime of candidatesIn({ address, bytes }, minor, read)) {
      if ((tried += 1) > CANDIDATES_MAX) return undefined;
      const frames = new PythonFrames(runtime, read);
      const states = await frames.threads();
      if ([...states.keys()].some((id) => ids.has(id))) return { frames, states };
    }
  }
  return undefined;
}

/** `_PyRuntime` is where 3.13 writes that it is; in 3.11 and 3.12 where its list of interpreters is the main one, whose threads know it. */
async function* candidatesIn(
  { address, bytes }: MemoryChunk,
  minor: number,
  read: ReadMemory,
): AsyncGenerator<PythonRuntime> {
  const layout = PYTHON_LAYOUTS.get(minor);
  if (layout === undefined) {
    const at = bytes.indexOf(PYTHON_COOKIE, 0, "latin1");
    const found = at === -1 || at % 8 !== 0 ? undefined : await readOwnOffsets(address + BigInt(at), read);
    if (found !== undefined && !("reason" in found)) yield found;
    return;
  }
  // The process is held meanwhile: most words are passed by without making a number of them.
  const halves = new Uint32Array(new Uint8Array(bytes).buffer, 0, bytes.length >>> 2);
  for (let index = layout.interpreters / 4; index + 4 <= halves.length; index += 2) {
    if (halves[index] === 0 || halves[index] !== halves[index + 2] || halves[index + 1] !== halves[index + 3]) continue;
    const main = bytes.readBigUInt64LE(index * 4);
    const within = main - address;
    if (main % 8n !== 0n || within < 0n || within + BigInt(layout.threads) + 8n > BigInt(bytes.length)) continue;
    const thread = bytes.readBigUInt64LE(Number(within) + layout.threads);
    const owner = await readWord(read, thread + BigInt(layout.nextThread) + 8n, 8);
    if (owner === main) yield { minor, layout, address: address + BigInt(index * 4 - layout.interpreters) };
  }
}
