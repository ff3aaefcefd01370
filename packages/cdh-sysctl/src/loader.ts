import { CdhError } from "@cdh/core/errors";

/** Bytes to put over those of a file, from an offset on. */
export interface Patch {
  offset: number;
  bytes: Uint8Array;
}

/** Where an ELF executable names the program that loads it. */
export interface Interpreter {
  path: string;
  /** Where the text starts in the file. */
  offset: number;
  /** Room for it, without the NUL that ends it. */
  room: number;
}

const PT_INTERP = 3;
const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

/** How much of a file {@link findInterpreter} has to see: headers come first, and patchelf puts the text near them or at the end. */
export const ELF_HEADER_BYTES = 64;

/** Tell whether a file starts like an ELF executable of 64 bits, little-endian: what we build. */
export function isElf64(head: Buffer): boolean {
  return head.length >= ELF_HEADER_BYTES && head.subarray(0, 4).equals(ELF_MAGIC) && head[4] === 2 && head[5] === 1;
}

/**
 * Find the interpreter of an ELF executable; undefined when it has none (static, or no ELF at all).
 * @param read reads `length` bytes at an offset, or fewer at the end of the file
 * @see elf(5), PT_INTERP
 */
export function findInterpreter(read: (offset: number, length: number) => Buffer): Interpreter | undefined {
  const head = read(0, ELF_HEADER_BYTES);
  if (!isElf64(head)) return undefined;
  const tableOffset = Number(head.readBigUInt64LE(32));
  const entryBytes = head.readUInt16LE(54);
  const entries = head.readUInt16LE(56);
  if (entryBytes < 56) return undefined;
  for (let index = 0; index < entries; index += 1) {
    const entry = read(tableOffset + index * entryBytes, 56);
    if (entry.length < 56) return undefined;
    if (entry.readUInt32LE(0) !== PT_INTERP) continue;
    const offset = Number(entry.readBigUInt64LE(8));
    const size = Number(entry.readBigUInt64LE(32));
    if (size < 2 || size > 4096) return undefined;
    const text = read(offset, size);
    const end = text.indexOf(0);
    return { path: text.toString("latin1", 0, end === -1 ? size : end), offset, room: size - 1 };
  }
  return undefined;
}

/**
 * Make the patch that gives an executable another loader in place. The new path keeps the old one's length with leading
 * slashes, which the kernel ignores, so nothing else in the file has to move.
 * @throws {CdhError} CDH_CONFIG_INVALID when the path does not fit
 */
export function interpreterPatch(interpreter: Interpreter, path: string): Patch {
  const bytes = Buffer.byteLength(path);
  if (bytes > interpreter.room) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `cannot give the composer the loader ${path}: ${bytes} bytes, and there is room for ${interpreter.room}`,
      {
        hint: "choose a shorter HOST_DIR",
      },
    );
  }
  return { offset: interpreter.offset, bytes: Buffer.from(`${"/".repeat(interpreter.room - bytes)}${path}\0`) };
}

/** Tell whether an interpreter path was padded by our build, so that it can be rewritten for any HOST_DIR. */
export function isPrivateLoader(interpreter: Interpreter): boolean {
  return interpreter.path.startsWith("//");
}
