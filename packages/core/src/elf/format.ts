import { FieldReader, type ElfLayout } from "./bytes.ts";
import type { CoreMachine } from "./facts.ts";

/** Bytes that hold any ELF header. */
export const ELF_HEADER_BYTES = 64;
export const ET_CORE = 4;
/** Kinds of program headers (`p_type`) and entries of the dynamic section (`d_tag`). @see elf(5) */
export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const PT_PHDR = 6;
export const DT_STRTAB = 5n;
export const DT_SONAME = 14n;
export const DT_RPATH = 15n;
export const DT_DEBUG = 21n;
export const DT_RUNPATH = 29n;
/** `e_phnum` of a file with more program headers than it can say. @see elf(5) */
export const PN_XNUM = 0xffff;

/** What we need of an ELF header. Offsets and sizes in bytes; infinity where a file claims the absurd. */
export interface ElfHeader extends ElfLayout {
  type: number;
  machine: CoreMachine;
  phoff: number;
  phentsize: number;
  phnum: number;
  shoff: number;
  shentsize: number;
  shnum: number;
}

/** What we need of a program header. */
export interface ProgramHeader {
  type: number;
  flags: number;
  offset: number;
  vaddr: bigint;
  fileSize: number;
  memSize: number;
  align: number;
}

const MACHINE_NAMES: Record<number, CoreMachine["name"]> = { 3: "x86", 40: "arm", 62: "x64", 183: "arm64" };

/** Tell whether bytes begin as an ELF file does; as many of the four as there are. */
export function startsLikeElf(bytes: Uint8Array): boolean {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  return bytes.length > 0 && magic.every((byte, index) => index >= bytes.length || bytes[index] === byte);
}

/** Read an ELF header, or give undefined when the bytes are none. */
export function tryParseElfHeader(bytes: Uint8Array): ElfHeader | undefined {
  if (bytes.length < 52 || !startsLikeElf(bytes)) return undefined;
  const elfClass = bytes[4];
  const data = bytes[5];
  if ((elfClass !== 1 && elfClass !== 2) || (data !== 1 && data !== 2)) return undefined;
  const layout: ElfLayout = { bits: elfClass === 2 ? 64 : 32, little: data === 1 };
  if (layout.bits === 64 && bytes.length < ELF_HEADER_BYTES) return undefined;
  const at = new FieldReader(bytes, layout);
  const tail = layout.bits === 64 ? 54 : 42;
  const elfMachine = at.u16(18);
  return {
    ...layout,
    type: at.u16(16),
    machine: {
      name: MACHINE_NAMES[elfMachine] ?? "other",
      elfMachine,
      bits: layout.bits,
      endian: layout.little ? "little" : "big",
    },
    phoff: at.size(layout.bits === 64 ? 32 : 28),
    shoff: at.size(layout.bits === 64 ? 40 : 32),
    phentsize: at.u16(tail),
    phnum: at.u16(tail + 2),
    shentsize: at.u16(tail + 4),
    shnum: at.u16(tail + 6),
  };
}

/** Bytes of one program header in this layout. */
export function programHeaderBytes(layout: ElfLayout): number {
  return layout.bits === 64 ? 56 : 32;
}

/** Read one program header. */
export function parseProgramHeader(bytes: Uint8Array, layout: ElfLayout): ProgramHeader {
  const at = new FieldReader(bytes, layout);
  return layout.bits === 64
    ? {
        type: at.u32(0),
        flags: at.u32(4),
        offset: at.size(8),
        vaddr: at.u64(16),
        fileSize: at.size(32),
        memSize: at.size(40),
        align: at.size(48),
      }
    : {
        type: at.u32(0),
        offset: at.size(4),
        vaddr: at.word(8),
        fileSize: at.size(16),
        memSize: at.size(20),
        flags: at.u32(24),
        align: at.size(28),
      };
}
