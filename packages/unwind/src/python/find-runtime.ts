import { findNamed } from "../elf/symbols.ts";
import type { LoadedModule } from "../process/loaded-module.ts";
import { readWord, readWords, type ReadMemory } from "../tables/memory.ts";
import { PYTHON_LAYOUTS, type PythonLayout } from "./layouts.ts";

/** The interpreter of a process. */
export interface PythonRuntime {
  /** 12 of Python 3.12. */
  minor: number;
  layout: PythonLayout;
  /** Where `_PyRuntime` is. */
  address: bigint;
}

const RUNTIME = "_PyRuntime";
const VERSION = "Py_Version";
/** First bytes of `_PyRuntime` since 3.13. */
export const PYTHON_COOKIE = "xdebugpy";
const COOKIE = Buffer.from(PYTHON_COOKIE).readBigUInt64LE();
/** Where `_Py_DebugOffsets` of 3.13 says what, in words. @see Include/internal/pycore_runtime.h of 3.13 */
const SAID = {
  version: 1,
  freeThreaded: 2,
  interpreters: 5,
  nextInterpreter: 8,
  threads: 9,
  nextThread: 21,
  currentFrame: 23,
  nativeId: 25,
  previous: 29,
  code: 30,
  instruction: 31,
  owner: 33,
  fileName: 35,
  qualifiedName: 37,
  lineTable: 38,
  firstLine: 39,
  bytecode: 43,
  bytesLength: 65,
  bytes: 66,
  textState: 68,
  textLength: 69,
  asciiText: 70,
  words: 71,
};
/** Beyond the `PyASCIIObject`: the text as UTF-8 and its length. */
const OTHER_TEXT_BYTES = 16;
/** An offset beyond this is none of these structures; the interpreter's state is larger. */
const OFFSET_MAX = 2048;
const STATE_MAX = 1024 * 1024;

/**
 * Find the interpreter in the module that runs Python's code: 3.13 says itself where it keeps what, 3.11 and 3.12 are known.
 * @returns a reason, in words, where its frames cannot be read
 */
export async function findPythonRuntime(
  loaded: LoadedModule,
  read: ReadMemory,
): Promise<PythonRuntime | { reason: string }> {
  const elf = await loaded.code();
  const named = elf === undefined ? undefined : await findNamed(elf, new Set([RUNTIME, VERSION]));
  const place = named?.get(RUNTIME);
  const address = place === undefined ? undefined : await loaded.addressOf(place);
  if (elf === undefined || address === undefined) return { reason: "the interpreter has no symbol _PyRuntime" };
  if ((await readWord(read, address, 8)) === COOKIE) return readOwnOffsets(address, read);
  const at = named?.get(VERSION);
  const bytes = at === undefined ? undefined : await elf.readVaddr(at, 4);
  if (bytes === undefined) return { reason: "the interpreter's version is not known" };
  const minor = minorOf(new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true));
  const layout = minor === undefined ? undefined : PYTHON_LAYOUTS.get(minor);
  return minor === undefined || layout === undefined ? unknown(minor) : { minor, layout, address };
}

/** Read where 3.13 says that it keeps what. @param address of `_PyRuntime` @returns a reason, in words, where that is not to be used */
export async function readOwnOffsets(address: bigint, read: ReadMemory): Promise<PythonRuntime | { reason: string }> {
  const words = await readWords(read, address, SAID.words);
  if (words === undefined) return { reason: "the core does not hold _PyRuntime" };
  const minor = minorOf(Number(BigInt.asUintN(32, words[SAID.version] ?? 0n)));
  // Later versions say more, at other places.
  if (minor !== 13) return unknown(minor);
  if (words[SAID.freeThreaded] !== 0n) return { reason: "those of free-threaded Python are not read" };
  const at = (index: number): number => Number(words[index] ?? 0n);
  const layout: PythonLayout = {
    interpreters: at(SAID.interpreters),
    nextInterpreter: at(SAID.nextInterpreter),
    threads: at(SAID.threads),
    nextThread: at(SAID.nextThread),
    nativeId: at(SAID.nativeId),
    cframe: -1,
    currentFrame: at(SAID.currentFrame),
    previous: at(SAID.previous),
    code: at(SAID.code),
    instruction: at(SAID.instruction),
    owner: at(SAID.owner),
    isEntry: -1,
    fileName: at(SAID.fileName),
    qualifiedName: at(SAID.qualifiedName),
    lineTable: at(SAID.lineTable),
    firstLine: at(SAID.firstLine),
    bytecode: at(SAID.bytecode),
    textState: at(SAID.textState),
    textLength: at(SAID.textLength),
    asciiText: at(SAID.asciiText),
    otherText: at(SAID.asciiText) + OTHER_TEXT_BYTES,
    bytesLength: at(SAID.bytesLength),
    bytes: at(SAID.bytes),
  };
  const { interpreters, nextInterpreter, threads, ...others } = layout;
  const isDamaged =
    Math.max(interpreters, nextInterpreter, threads) > STATE_MAX ||
    Object.values(others).some((offset) => offset > OFFSET_MAX);
  if (isDamaged) return { reason: "_PyRuntime is damaged" };
  return { minor, layout, address };
}

/** Python 3.12.1 is 0x030c01f0. */
function minorOf(version: number): number | undefined {
  return version >>> 24 === 3 ? (version >>> 16) & 0xff : undefined;
}

function unknown(minor: number | undefined): { reason: string } {
  return {
    reason: minor === undefined ? "the interpreter's version is damaged" : `those of Python 3.${minor} are not read`,
  };
}
