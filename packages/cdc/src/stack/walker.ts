import { readSync, writeSync } from "node:fs";
import type { FrameFacts } from "@cdh/core/bundle/manifest";
import type { CoreModule } from "@cdh/core/elf/facts";
import { makeRangeIndex } from "@cdh/core/elf/range-index";
import { EXIT } from "@cdh/core/errors";
import { ProcessImage } from "@cdh/unwind/process/process-image";
import {
  nameStacks,
  readStacks,
  walkStacks,
  type ReadStacksOptions,
  type StackFrame,
  type ThreadStack,
} from "@cdh/unwind/process/read-stacks";
import { PythonStacks } from "@cdh/unwind/python/add-python";
import { loadNative } from "../self/load-native.ts";
import type { Native } from "../self/native.ts";
import { HeldFiles } from "./held-files.ts";
import { readArtefacts } from "./runtime-artefacts.ts";
import { encodeAnswer, type StackAnswer } from "./stack-answer.ts";
import { decodeRequest, type StackRequest } from "./stack-request.ts";
import type { MemoryChunk } from "./take-memory.ts";

/** Seconds after which the kernel ends this process, whoever waits for it. */
const ALARM_SECONDS = 20;
const REQUEST_MAX_BYTES = 64 * 1024 * 1024;
const LIMITS: ReadStacksOptions = {
  crashed: { frames: 256, outermost: 32, steps: 600_000 },
  others: { frames: 64, outermost: 8, steps: 20_000 },
};
/** Stacks that are told at once, so that what is known stays known when the time is up. */
const THREADS_AT_ONCE = 32;
const FUNCTION_MAX_LENGTH = 400;

/** Walk the stacks that a composer asks for on standard input, and tell them line by line. @returns the exit status */
export async function runWalker(): Promise<number> {
  const native = await loadNative();
  native.alarm(ALARM_SECONDS);
  await walk(decodeRequest(readInput()), tell, native);
  return EXIT.ok;
}

/** Walk stacks, the crashed thread's first: its names by symbols at once, then again with lines, which may take long. The runtime's files come last. */
export async function walk(
  request: StackRequest,
  say: (answer: StackAnswer) => void,
  native: Pick<Native, "readNames">,
): Promise<void> {
  const { facts, chunks } = request;
  const files = new HeldFiles(request);
  const image = new ProcessImage(facts, readerOf(chunks), files);
  const describe = describerOf(facts.modules);
  const crashed = facts.threads.filter((thread) => thread.crashed);
  const others = facts.threads.filter((thread) => !thread.crashed);
  const walked = await walkStacks(image, crashed, LIMITS);
  const python = new PythonStacks(image);
  for (const lines of [false, true])
    for (const stack of await nameStacks(image, walked, { lines })) {
      // Whatever Python's memory does to this process, the rest of the stack is told by then.
      if (!lines) say(describe(stack));
      say(describe(await python.add(stack)));
    }
  // Of the other threads not all memory is taken.
  const notes = [...files.notes, ...python.notes];
  for (let at = 0; at < others.length; at += THREADS_AT_ONCE)
    for (const stack of await readStacks(image, others.slice(at, at + THREADS_AT_ONCE), LIMITS))
      say(describe(await python.add(stack)));
  for (const note of new Set([...notes, ...files.notes])) say({ note });
  // Last, because a file may be read for ever: what is known by then stays known.
  if (request.artefacts !== undefined)
    readArtefacts(request.artefacts, native, {
      piece: ({ name, sizeBytes, bytes }) => say({ artefact: name, sizeBytes, base64: bytes.toString("base64") }),
      failed: (name, failure) => say({ artefact: name, failure }),
    });
}

function readerOf(
  chunks: readonly MemoryChunk[],
): (address: bigint, length: number) => Promise<Uint8Array | undefined> {
  const find = makeRangeIndex(
    chunks.map(({ address, bytes }) => ({ start: address, end: address + BigInt(bytes.length), bytes })),
  );
  return async (address, length) => {
    const chunk = find(address);
    if (chunk === undefined) return undefined;
    const at = Number(address - chunk.start);
    return chunk.bytes.subarray(at, at + length);
  };
}

function describerOf(modules: readonly CoreModule[]): (stack: ThreadStack) => StackAnswer {
  const find = makeRangeIndex(modules.map(({ start, end }, index) => ({ start, end, index })));
  const describe = (frame: StackFrame): FrameFacts => {
    const { pc, moduleOffset, demangled, functionOffset, file, line, inlined, signal, kind, trust } = frame;
    const module = find(BigInt(pc))?.index;
    const name = demangled ?? frame.function;
    return {
      pc,
      ...(module === undefined ? {} : { module }),
      ...(moduleOffset === undefined ? {} : { offset: moduleOffset }),
      ...(name === undefined ? {} : { function: name.slice(0, FUNCTION_MAX_LENGTH) }),
      ...(functionOffset === undefined ? {} : { functionOffset }),
      ...(file === undefined ? {} : { file: file.slice(-FUNCTION_MAX_LENGTH) }),
      ...(line === undefined ? {} : { line }),
      ...(inlined === undefined ? {} : { inlined }),
      ...(signal === undefined ? {} : { signal }),
      ...(kind === undefined ? {} : { kind }),
      ...(trust === undefined ? {} : { trust }),
    };
  };
  return ({ tid, frames, leftOut, end }) => ({
    tid,
    stack: { frames: frames.map(describe), ...(leftOut === undefined ? {} : { leftOut }), end },
  });
}

function readInput(): Buffer {
  const pieces: Buffer[] = [];
  for (let total = 0; total <= REQUEST_MAX_BYTES;) {
    const piece = Buffer.allocUnsafe(1024 * 1024);
    const count = readSync(0, piece, 0, piece.length, null);
    if (count === 0) break;
    pieces.push(piece.subarray(0, count));
    total += count;
  }
  return Buffer.concat(pieces);
}

function tell(answer: StackAnswer): void {
  const bytes = Buffer.from(encodeAnswer(answer));
  for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
}
