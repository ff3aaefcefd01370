import type { ElfFile } from "../elf/elf-file.ts";
import { searchFrameHeader, type FrameHeader } from "./frame-header.ts";
import { FrameIndex } from "./frame-index.ts";
import type { FrameDescription, FrameSection } from "./frame-records.ts";

/** Program header of .eh_frame_hdr. @see Linux Standard Base, 10.6 */
const PT_GNU_EH_FRAME = 0x6474e550;

/**
 * The unwind tables of one module. `.eh_frame_hdr` finds a description in a few reads; without one, as in static programs,
 * `.eh_frame` is gone through once; what neither describes may be in `.debug_frame`.
 */
export class FrameTables {
  readonly #elf: ElfFile;
  readonly #debugFile: () => Promise<ElfFile | undefined>;
  readonly #wordBytes: 4 | 8;
  #byHeader: { section: FrameSection; header: FrameHeader } | undefined;
  #indexes: Promise<FrameIndex[]> | undefined;
  #debugIndex: Promise<FrameIndex | undefined> | undefined;

  /** @param debugFile the module's separate debugging symbols, where they are at hand */
  constructor(elf: ElfFile, debugFile: () => Promise<ElfFile | undefined>) {
    this.#elf = elf;
    this.#debugFile = debugFile;
    this.#wordBytes = elf.header.bits === 64 ? 8 : 4;
    const header = elf.programs.find(({ type }) => type === PT_GNU_EH_FRAME);
    if (header !== undefined && Number.isFinite(header.memSize))
      this.#byHeader = {
        header: { vaddr: header.vaddr, sizeBytes: header.memSize },
        section: this.#section("eh", 0n, (vaddr, length) => elf.readUpToVaddr(vaddr, length)),
      };
  }

  /** Find how the code at an address of the file keeps its caller. @throws {UnwindDataError} when tables are damaged */
  async find(vaddr: bigint): Promise<FrameDescription | undefined> {
    if (!this.#elf.header.little) return undefined;
    if (this.#byHeader !== undefined) {
      const { section, header } = this.#byHeader;
      const found = await searchFrameHeader(section, header, vaddr);
      if (found === "noTable") this.#byHeader = undefined;
      else if (found.description !== undefined) return found.description;
    }
    if (this.#byHeader === undefined) {
      for (const index of await (this.#indexes ??= this.#indexFrames())) {
        const description = await index.find(vaddr);
        if (description !== undefined) return description;
      }
    }
    return (await (this.#debugIndex ??= this.#indexDebugFrames()))?.find(vaddr);
  }

  async #indexFrames(): Promise<FrameIndex[]> {
    const found = await this.#elf.section(".eh_frame");
    if (found === undefined) return [];
    const { section, data } = found;
    const frames = this.#section("eh", section.vaddr, async (vaddr, length) =>
      data.read(Number(vaddr - section.vaddr), length),
    );
    return [await FrameIndex.build(frames, data.sizeBytes)];
  }

  async #indexDebugFrames(): Promise<FrameIndex | undefined> {
    const own = await this.#elf.section(".debug_frame");
    const { data } = own ?? (await (await this.#debugFile())?.section(".debug_frame")) ?? {};
    if (data === undefined) return undefined;
    const frames = this.#section("debug", 0n, async (vaddr, length) => data.read(Number(vaddr), length));
    return FrameIndex.build(frames, data.sizeBytes);
  }

  #section(kind: FrameSection["kind"], vaddr: bigint, read: FrameSection["read"]): FrameSection {
    return { kind, vaddr, wordBytes: this.#wordBytes, bases: {}, read };
  }
}
