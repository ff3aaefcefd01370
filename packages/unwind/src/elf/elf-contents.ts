import { ET_CORE, PT_LOAD } from "@cdh/core/elf/format";
import type { ByteSource } from "./byte-source.ts";
import { readSharedDebugLink } from "./debug-links.ts";
import { ElfFile } from "./elf-file.ts";
import type { Section } from "./sections.ts";

/** What an ELF file is good for. */
export interface ElfContents {
  /** Lower-case hexadecimal, as the file itself says. */
  buildId: string | undefined;
  /** It can be run, or linked to: it has its machine code. */
  hasCode: boolean;
  /** It has source lines or types, or nothing but symbols. */
  hasDebugInfo: boolean;
  /** It is a package of split debug info (`.dwp`). */
  isSplitPackage: boolean;
  /** Of the file that several share debug info with; undefined when it needs none. @see dwz(1) */
  sharedBuildId: string | undefined;
  /** It is the memory of a process. */
  isCore: boolean;
  /** Why it cannot be the whole file; undefined when it can. */
  cutShort: string | undefined;
}

/**
 * Choose as what a file is kept. Code with debug info is kept once, as debug info: it serves both.
 * @returns undefined when it is good for nothing
 */
export function debugRoleOf({ hasCode, hasDebugInfo, isCore }: ElfContents): "executable" | "debuginfo" | undefined {
  if (isCore) return undefined;
  return hasDebugInfo ? "debuginfo" : hasCode ? "executable" : undefined;
}

const PF_X = 1;
const SHT_NOBITS = 8;
const SHF_EXECINSTR = 4;

/** Look at what a file is good for; undefined when it is no ELF file. @throws what the source throws */
export async function examineElf(source: ByteSource): Promise<ElfContents | undefined> {
  const elf = await ElfFile.tryOpen(source);
  if (elf === undefined) return undefined;
  const sections = await elf.sections();
  const has = (...names: string[]): boolean =>
    sections.some(({ name, type }) => type !== SHT_NOBITS && names.includes(name));
  const hasCode =
    sections.length > 0
      ? sections.some(
          ({ type, flags, sizeBytes }) => (flags & SHF_EXECINSTR) !== 0 && type !== SHT_NOBITS && sizeBytes > 0,
        )
      : elf.programs.some(({ type, flags, fileSize }) => type === PT_LOAD && (flags & PF_X) !== 0 && fileSize > 0);
  const isSplitPackage = has(".debug_cu_index");
  return {
    buildId: elf.buildId,
    hasCode,
    hasDebugInfo: has(".debug_info", ".zdebug_info", ".debug_line", ".zdebug_line") || (!hasCode && has(".symtab")),
    isSplitPackage,
    sharedBuildId: (await readSharedDebugLink(elf))?.buildId,
    isCore: elf.header.type === ET_CORE,
    cutShort: whyCutShort(elf, sections, source.sizeBytes, hasCode),
  };
}

function whyCutShort(
  { header, programs }: ElfFile,
  sections: readonly Section[],
  sizeBytes: number,
  hasCode: boolean,
): string | undefined {
  const { shoff, shentsize, shnum } = header;
  if (shoff !== 0 && !(shoff + shentsize * shnum <= sizeBytes)) return `its section headers end behind it`;
  const section = sections.find(
    (one) => one.type !== SHT_NOBITS && one.type !== 0 && !(one.offset + one.sizeBytes <= sizeBytes),
  );
  if (section !== undefined) return `its section ${JSON.stringify(section.name)} ends behind it`;
  // Files of debug info keep the program headers of what they describe.
  const isCut =
    hasCode && programs.some(({ type, offset, fileSize }) => type === PT_LOAD && !(offset + fileSize <= sizeBytes));
  return isCut ? "a segment that is loaded ends behind it" : undefined;
}
