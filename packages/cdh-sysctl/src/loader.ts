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

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
const MOST_PROGRAM_HEADERS = 256;
const MOST_DYNAMIC_ENTRIES = 1024;
const LONGEST_TEXT = 4096;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_STRTAB = 5n;
const DT_RPATH = 15n;
const DT_RUNPATH = 29n;

interface Segment {
  type: number;
  offset: number;
  address: bigint;
  fileBytes: number;
}

/**
 * Find the interpreter and the run path of an ELF executable of 64 bits, little-endian: what we build. Total: a file
 * that is none has neither.
 * @see elf(5)
 */
export function readLoaderFacts(read: ReadAt): LoaderFacts {
  const segments = readSegments(read);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const text = interpreter === undefined ? undefined : readText(read, interpreter.offset, interpreter.fileBytes);
  const runPath = readRunPath(read, segments);
  return {
    ...(text === undefined || interpreter === undefined
      ? {}
      : { interpreter: { ...text, room: interpreter.fileBytes - 1 } }),
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

function readSegments(read: ReadAt): Segment[] {
  const head = read(0, ELF_HEADER_BYTES);
  if (!isElf64(head)) return [];
  const tableOffset = toOffset(head.readBigUInt64LE(32));
  const entryBytes = head.readUInt16LE(54);
  const count = Math.min(head.readUInt16LE(56), MOST_PROGRAM_HEADERS);
  if (entryBytes < PROGRAM_HEADER_BYTES || tableOffset === undefined) return [];
  const segments: Segment[] = [];
  for (let index = 0; index < count; index += 1) {
    const entry = read(tableOffset + index * entryBytes, PROGRAM_HEADER_BYTES);
    if (entry.length < PROGRAM_HEADER_BYTES) break;
    const offset = toOffset(entry.readBigUInt64LE(8));
    const fileBytes = toOffset(entry.readBigUInt64LE(32));
    if (offset === undefined || fileBytes === undefined) continue;
    segments.push({ type: entry.readUInt32LE(0), offset, address: entry.readBigUInt64LE(16), fileBytes });
  }
  return segments;
}

function readRunPath(read: ReadAt, segments: readonly Segment[]): FixedText | undefined {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return undefined;
  const size = Math.min(dynamic.fileBytes, MOST_DYNAMIC_ENTRIES * DYNAMIC_ENTRY_BYTES);
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
    ({ type, address: start, fileBytes }) =>
      type === PT_LOAD && address >= start && address < start + BigInt(fileBytes),
  );
  if (segment === undefined) return undefined;
  return readText(read, segment.offset + Number(address - segment.address), LONGEST_TEXT);
}

/** Read a text that a NUL ends; undefined when there is none within `length`. */
function readText(read: ReadAt, offset: number, length: number): FixedText | undefined {
  if (length < 2 || length > LONGEST_TEXT) return undefined;
  const bytes = read(offset, length);
  const end = bytes.indexOf(0);
  if (end < 1) return undefined;
  return { text: bytes.toString("latin1", 0, end), offset, room: end };
}

function toOffset(value: bigint): number | undefined {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}
