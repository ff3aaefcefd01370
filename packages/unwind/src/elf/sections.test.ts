import { expect, it } from "vitest";
import { tryParseElfHeader } from "@cdh/core/elf/format";
import type { ByteSource } from "./byte-source.ts";
import { ElfFile } from "./elf-file.ts";
import { findSection } from "./sections.ts";

const MIB = 1024 * 1024;
const FILE_BYTES = 64 * MIB;

/** Fields of an ELF header that say how long the tables are. */
interface Tables {
  phentsize?: number;
  phnum?: number;
  shentsize?: number;
  shnum?: number;
}

/** A 64-bit file of zeros with a header of its own; its tables begin at 4096. */
function headerOf({ phentsize = 56, phnum = 0, shentsize = 64, shnum = 0 }: Tables): Buffer {
  const header = Buffer.alloc(8192);
  Buffer.from("7f454c46020101", "hex").copy(header);
  header.writeUInt16LE(3, 16);
  header.writeUInt16LE(62, 18);
  header.writeBigUInt64LE(4096n, phnum > 0 ? 32 : 40);
  [phentsize, phnum, shentsize, shnum].forEach((value, at) => header.writeUInt16LE(value, 54 + 2 * at));
  return header;
}

/** Reads zeros behind what it was given, and notes the longest read. */
class SparseSource implements ByteSource {
  readonly sizeBytes = FILE_BYTES;
  longest = 0;
  readonly #start: Buffer;

  constructor(start: Buffer) {
    this.#start = start;
  }

  read(offset: number, length: number): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - offset));
    this.longest = Math.max(this.longest, wanted);
    const bytes = Buffer.alloc(wanted);
    bytes.set(this.#start.subarray(offset, offset + wanted));
    return bytes;
  }
}

it.each<[string, Tables]>([
  ["sections of a size that no class has", { shentsize: 0xffff, shnum: 0xffff }],
  ["sections of a size that divides well", { shentsize: 4096, shnum: 0x4000 }],
  ["programs of a size that no class has", { phentsize: 0xffff, phnum: 0xffff }],
])("has no %s, and reads little to know it", async (_name, tables) => {
  const source = new SparseSource(headerOf(tables));
  const elf = await ElfFile.tryOpen(source);
  expect(elf?.programs.length).toBe(0);
  expect((await elf?.sections())?.length).toBe(0);
  expect(source.longest).toBeLessThanOrEqual(64 * 1024);
});

it("has no more sections than may be, counted in the first of them", async () => {
  const counted = async (count: number): Promise<[number | undefined, number]> => {
    const header = headerOf({});
    header.writeBigUInt64LE(BigInt(count), 4096 + 32);
    const source = new SparseSource(header);
    const sections = await (await ElfFile.tryOpen(source))?.sections();
    return [sections?.length, source.longest];
  };
  expect(await counted(1000)).toEqual([1000, expect.any(Number)]);
  const [most, longest] = await counted(65_536);
  expect(most).toBe(65_536);
  expect(longest).toBeLessThanOrEqual(4 * MIB);
  expect((await counted(65_537))[0]).toBe(0);
});

it("finds one section among many without holding the others", async () => {
  const header = headerOf({ shnum: 40_000 });
  const table = Buffer.concat([header, Buffer.alloc(40_000 * 64)]);
  const namesAt = 4 * MIB;
  const start = Buffer.concat([table, Buffer.alloc(namesAt - table.length), Buffer.from("\0.one\0.wanted\0")]);
  const write = (index: number, name: number, type: number, offset: number, size: number): void => {
    const at = 4096 + index * 64;
    start.writeUInt32LE(name, at);
    start.writeUInt32LE(type, at + 4);
    start.writeBigUInt64LE(BigInt(offset), at + 24);
    start.writeBigUInt64LE(BigInt(size), at + 32);
  };
  start.writeUInt16LE(1, 62);
  write(1, 1, 3, namesAt, 14);
  // In files of debug info what has no bytes keeps its name.
  write(30_000, 6, 8, 1, 1);
  write(39_999, 6, 1, 7777, 99);
  const source = new SparseSource(start);
  const parsed = tryParseElfHeader(start);
  if (parsed === undefined) throw new Error("no ELF file");
  expect(await findSection(source, parsed, ".wanted")).toMatchObject({ offset: 7777, sizeBytes: 99 });
  expect(await findSection(source, parsed, ".want")).toBeUndefined();
  expect(await findSection(source, parsed, "")).toBeUndefined();
  expect(source.longest).toBeLessThanOrEqual(64 * 1024);
});
