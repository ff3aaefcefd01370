import { MemorySource } from "./byte-source.ts";
import { ElfFile } from "./elf-file.ts";
import { decodeXz, XzError } from "./xz.ts";

/** Largest section that is unpacked, and largest file that comes out, in bytes. */
const PACKED_MAX_BYTES = 16 * 1024 * 1024;
const UNPACKED_MAX_BYTES = 64 * 1024 * 1024;

/** Open `.gnu_debugdata`, an ELF file packed by xz with the symbols that stripping took away. @see gdb, MiniDebugInfo */
export async function openMiniDebugFile(elf: ElfFile): Promise<ElfFile | undefined> {
  const found = await elf.section(".gnu_debugdata");
  if (found === undefined || found.data.sizeBytes > PACKED_MAX_BYTES) return undefined;
  try {
    const bytes = decodeXz(await found.data.read(0, found.data.sizeBytes), UNPACKED_MAX_BYTES);
    return await ElfFile.tryOpen(new MemorySource(bytes));
  } catch (error) {
    if (error instanceof XzError) return undefined;
    throw error;
  }
}
