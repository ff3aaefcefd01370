import {
  DT_RPATH,
  DT_RUNPATH,
  DT_STRTAB,
  ELF_HEADER_BYTES,
  parseProgramHeader,
  programHeaderBytes,
  PT_DYNAMIC,
  PT_INTERP,
  PT_LOAD,
  tryParseElfHeader,
  type ProgramHeader,
} from "@cdh/core/elf/format";
import { CdhError } from "@cdh/core/errors";

/** Bytes to put over those of a file, from an offset on. */
export interface Patch {
  offset: number;
  bytes: Uint8Array;
}

/** A text in an ELF executable that can be changed in place. */
export interface FixedText {
  text: string;
  /** Where it starts in the file. */
  offset: number;
  /** Room for it, without the NUL that ends it. */
  room: number;
}

/** What an ELF executable says about the program and the libraries that load it. */
export interface LoaderFacts {
  interpreter?: FixedText;
  /** Where the loader looks for libraries first. */
  runPath?: FixedText;
}

/** Read `length` bytes of a file at an offset, or fewer at its end. */
export type ReadAt = (offset: number, length: number) => Buffer;

const DYNAMIC_ENTRY_BYTES = 16;
const MOST_PROGRAM_HEADERS = 256;
const MOST_DYNAMIC_ENTRIES = 1024;
const LONGEST_TEXT = 4096;

/**
 * Find the interpreter and the run path of an ELF executable of 64 bits, little-endian: what we build. Total: a file
 * that is none has neither.
 * @see elf(5)
 */
export function readLoaderFacts(read: ReadAt): LoaderFacts {
  const segments = readSegments(read);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const text = interpreter === undefined ? undefined : readText(read, interpreter.offset, interpreter.fileSize);
  const runPath = readRunPath(read, segments);
  return {
    ...(text === undefined || interpreter === undefined
      ? {}
      : { interpreter: { ...text, room: interpreter.fileSize - 1 } }),
    ...(runPath === undefined ? {} : { runPath }),
  };
}

/** Tell whether a file starts like an ELF executable of 64 bits, little-endian. */
export function isElf64(head: Buffer): boolean {
  return head.length >= ELF_HEADER_BYTES && head.toString("latin1", 0, 6) === "\x7fELF\x02\x01";
}

/**
 * Make the patch that gives an executable another loader in place. The new path keeps the old one's length with leading
 * slashes, which the kernel ignores, so nothing else in the file has to move.
 * @throws {CdhError} CDH_CONFIG_INVALID when the path does not fit
 */
export function interpreterPatch(interpreter: FixedText, path: string): Patch {
  const bytes = Buffer.byteLength(path);
  if (bytes > interpreter.room) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `cannot give the composer the loader ${path}: ${bytes} bytes, and there is room for ${interpreter.room}`,
      { hint: "choose a shorter HOST_DIR" },
    );
  }
  return { offset: interpreter.offset, bytes: Buffer.from(`${"/".repeat(interpreter.room - bytes)}${path}\0`) };
}

/** Make the patch that gives an executable another run path in place; undefined when it does not fit. */
export function runPathPatch(runPath: FixedText, path: string): Patch | undefined {
  const bytes = Buffer.from(`${path}\0`);
  // Trailing slashes fill the room: the loader ignores them, and a tool that prints the path shows no rest of the old one.
  if (bytes.length - 1 > runPath.room) return undefined;
  return { offset: runPath.offset, bytes: Buffer.from(`${path}${"/".repeat(runPath.room - bytes.length + 1)}\0`) };
}

/** Tell whether an interpreter path was padded by our build, so that it can be rewritten for any HOST_DIR. */
export function isPrivateLoader(interpreter: FixedText): boolean {
  return interpreter.text.startsWith("//");
}

function readSegments(read: ReadAt): ProgramHeader[] {
  const head = read(0, ELF_HEADER_BYTES);
  if (!isElf64(head)) return [];
  const header = tryParseElfHeader(head);
  if (header === undefined) return [];
  const { phoff, phentsize, phnum } = header;
  const entryBytes = programHeaderBytes(header);
  if (phentsize < entryBytes || !Number.isFinite(phoff)) return [];
  const segments: ProgramHeader[] = [];
  for (let index = 0; index < Math.min(phnum, MOST_PROGRAM_HEADERS); index += 1) {
    const entry = read(phoff + index * phentsize, entryBytes);
    if (entry.length < entryBytes) break;
    const segment = parseProgramHeader(entry, header);
    if (Number.isFinite(segment.offset) && Number.isFinite(segment.fileSize)) segments.push(segment);
  }
  return segments;
}

function readRunPath(read: ReadAt, segments: readonly ProgramHeader[]): FixedText | undefined {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return undefined;
  const size = Math.min(dynamic.fileSize, MOST_DYNAMIC_ENTRIES * DYNAMIC_ENTRY_BYTES);
  const table = read(dynamic.offset, size);
  const values = new Map<bigint, bigint>();
  for (let at = 0; at + DYNAMIC_ENTRY_BYTES <= table.length; at += DYNAMIC_ENTRY_BYTES) {
    values.set(table.readBigUInt64LE(at), table.readBigUInt64LE(at + 8));
  }
  const strings = values.get(DT_STRTAB);
  const index = values.get(DT_RPATH) ?? values.get(DT_RUNPATH);
  if (strings === undefined || index === undefined) return undefined;
  // The index is 64 bits and may wrap around, where the text lies before the table.
  const address = BigInt.asUintN(64, strings + index);
  const segment = segments.find(
    ({ type, vaddr, fileSize }) => type === PT_LOAD && address >= vaddr && address < vaddr + BigInt(fileSize),
  );
  if (segment === undefined) return undefined;
  return readText(read, segment.offset + Number(address - segment.vaddr), LONGEST_TEXT);
}

/** Read a text that a NUL ends; undefined when there is none within `length`. */
function readText(read: ReadAt, offset: number, length: number): FixedText | undefined {
  if (length < 2 || length > LONGEST_TEXT) return undefined;
  const bytes = read(offset, length);
  const end = bytes.indexOf(0);
  if (end < 1) return undefined;
  return { text: bytes.toString("latin1", 0, end), offset, room: end };
}
