import { decodeText } from "@cdh/core/elf/bytes";
import { fieldsOf, type ElfFile } from "./elf-file.ts";

const LINK_BYTES_MAX = 4096;

/** Read `.gnu_debuglink`: the name of the file with the debugging symbols, and its CRC-32. @see gdb, Separate Debug Files */
export async function readDebugLink(elf: ElfFile): Promise<{ name: string; crc: number } | undefined> {
  const bytes = await smallSection(elf, ".gnu_debuglink");
  const end = bytes?.indexOf(0) ?? -1;
  if (bytes === undefined || end <= 0) return undefined;
  const crcAt = Math.ceil((end + 1) / 4) * 4;
  if (crcAt + 4 > bytes.length) return undefined;
  const name = decodeText(bytes);
  // A name that climbs out of the folders that are looked in is none.
  return name.includes("/") ? undefined : { name, crc: fieldsOf(elf, bytes).u32(crcAt) };
}

/** Read `.gnu_debugaltlink`: the path of the file that several debugging files share, and its build-id. @see dwz(1) */
export async function readSharedDebugLink(elf: ElfFile): Promise<{ name: string; buildId: string } | undefined> {
  const bytes = await smallSection(elf, ".gnu_debugaltlink");
  const end = bytes?.indexOf(0) ?? -1;
  if (bytes === undefined || end <= 0 || end + 9 > bytes.length) return undefined;
  return { name: decodeText(bytes), buildId: Buffer.from(bytes.subarray(end + 1, end + 65)).toString("hex") };
}

async function smallSection(elf: ElfFile, name: string): Promise<Uint8Array | undefined> {
  const found = await elf.section(name);
  return found === undefined || found.data.sizeBytes > LINK_BYTES_MAX
    ? undefined
    : found.data.read(0, found.data.sizeBytes);
}
