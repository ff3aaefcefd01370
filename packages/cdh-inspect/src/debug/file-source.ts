import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { tryOpenForeign, type ForeignFile } from "@cdh/core/files/open-foreign";
import { openRegularFile } from "@cdh/core/files/regular-file";
import type { ByteSource } from "@cdh/unwind/elf/byte-source";
import { examineElf, type ElfContents } from "@cdh/unwind/elf/elf-contents";
import { ElfFile } from "@cdh/unwind/elf/elf-file";

/** An ELF file on disk. */
export interface OpenElf {
  path: string;
  elf: ElfFile;
  /** CRC-32 of the whole file, as `.gnu_debuglink` has it. */
  crc32(): Promise<number>;
  close(): Promise<void>;
}

const READ_MAX_BYTES = 256 * 1024 * 1024;
const CRC_PIECE_BYTES = 1024 * 1024;

/** Open the file that a person named; undefined when it is not there, or no ELF file. */
export async function tryOpenGivenElf(path: string): Promise<OpenElf | undefined> {
  const file = await openRegularFile(path, { followLinks: true }).catch(() => undefined);
  return tryRead(file === undefined ? undefined : { path, file });
}

/** Open the file at a path that the core names, inside of a root; undefined when it may not be opened, or is no ELF file. */
export async function tryOpenForeignElf(path: string, root?: string): Promise<OpenElf | undefined> {
  return tryRead(await tryOpenForeign(path, root));
}

async function tryRead(found: ForeignFile | undefined): Promise<OpenElf | undefined> {
  if (found === undefined) return undefined;
  const { path, file } = found;
  try {
    const source = fileSource(file, (await file.stat()).size);
    const elf = await ElfFile.tryOpen(source);
    if (elf !== undefined) return { path, elf, crc32: () => crcOf(source), close: () => file.close() };
  } catch {
    // Unreadable is as good as not there.
  }
  await file.close();
  return undefined;
}

/** Tell what a file is good for; undefined when it cannot be read, or is no ELF file. */
export async function tryExamineFile(path: string): Promise<ElfContents | undefined> {
  const file = await openRegularFile(path, { followLinks: true }).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    return await examineElf(fileSource(file, (await file.stat()).size));
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}

/** Read an open file anywhere. */
export function fileSource(file: FileHandle, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    read: async (offset, length) => {
      const wanted = Math.min(length, sizeBytes - offset, READ_MAX_BYTES);
      if (!Number.isSafeInteger(offset) || offset < 0 || wanted <= 0) return new Uint8Array();
      const bytes = Buffer.alloc(wanted);
      let filled = 0;
      while (filled < wanted) {
        const { bytesRead } = await file.read(bytes, filled, wanted - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    },
  };
}

async function crcOf(source: ByteSource): Promise<number> {
  let value = 0;
  for (let at = 0; at < source.sizeBytes; at += CRC_PIECE_BYTES)
    value = crc32(await source.read(at, CRC_PIECE_BYTES), value);
  return value;
}
