import type { ElfLayout } from "../elf/bytes.ts";

/** A note to put into a built core. */
export interface BuiltNote {
  name: string;
  type: number;
  desc: Uint8Array;
}

/** A piece of memory to put into a built core. */
export interface BuiltSegment {
  vaddr: bigint;
  bytes: Uint8Array;
  memSize?: number;
  flags?: number;
}

/** Say what a built core holds. */
export interface BuiltCore {
  layout?: ElfLayout;
  /** `e_machine`; 62 is x86-64, 183 arm64. */
  machine?: number;
  type?: number;
  notes?: readonly BuiltNote[];
  segments?: readonly BuiltSegment[];
  /** Empty PT_LOADs added before the real ones, to reach PN_XNUM. */
  emptySegments?: number;
}

/** Put numbers into bytes at fixed places, in a file's byte order and word size. */
export class FieldWriter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #layout: ElfLayout;

  constructor(length: number, layout: ElfLayout = { bits: 64, little: true }) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
    this.#layout = layout;
  }

  u16(at: number, value: number): this {
    this.#view.setUint16(at, value, this.#layout.little);
    return this;
  }

  u32(at: number, value: number): this {
    this.#view.setUint32(at, value, this.#layout.little);
    return this;
  }

  word(at: number, value: bigint | number): this {
    if (this.#layout.bits === 64) this.#view.setBigUint64(at, BigInt(value), this.#layout.little);
    else this.#view.setUint32(at, Number(value), this.#layout.little);
    return this;
  }

  text(at: number, value: string): this {
    this.bytes.set(Buffer.from(value), at);
    return this;
  }
}

const PAGE = 4096;

/** Build a core the way Linux lays it out: header, program headers, notes, and memory at page boundaries. */
export function buildCore(core: BuiltCore): Uint8Array {
  const layout = core.layout ?? { bits: 64, little: true };
  const wide = layout.bits === 64;
  const headerBytes = wide ? 64 : 52;
  const entryBytes = wide ? 56 : 32;
  const sectionBytes = wide ? 64 : 40;
  const notes = Buffer.concat((core.notes ?? []).map((note) => buildNote(note, layout)));
  const segments: BuiltSegment[] = [
    ...Array.from({ length: core.emptySegments ?? 0 }, (_, index) => ({
      vaddr: BigInt(index + 1) * 4096n,
      bytes: new Uint8Array(),
    })),
    ...(core.segments ?? []),
  ];
  const count = segments.length + 1;
  const extended = count >= 0xffff;
  const notesAt = headerBytes + count * entryBytes;
  let at = Math.ceil((notesAt + notes.length) / PAGE) * PAGE;
  const placed = segments.map((segment) => {
    const offset = at;
    at += Math.ceil(segment.bytes.length / PAGE) * PAGE;
    return { ...segment, offset };
  });
  const out = new FieldWriter(at + (extended ? sectionBytes : 0), layout);
  out.bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, layout.little ? 1 : 2, 1]);
  out
    .u16(16, core.type ?? 4)
    .u16(18, core.machine ?? 62)
    .u32(20, 1);
  out.word(wide ? 32 : 28, headerBytes).word(wide ? 40 : 32, extended ? at : 0);
  const tail = wide ? 52 : 40;
  out
    .u16(tail, headerBytes)
    .u16(tail + 2, entryBytes)
    .u16(tail + 4, extended ? 0xffff : count)
    .u16(tail + 6, extended ? sectionBytes : 0);
  out.u16(tail + 8, extended ? 1 : 0);
  if (extended) out.u32(at + (wide ? 44 : 28), count);
  writeProgramHeader(out, headerBytes, wide, {
    type: 4,
    flags: 0,
    offset: notesAt,
    vaddr: 0n,
    fileSize: notes.length,
    memSize: 0,
  });
  for (const [index, segment] of placed.entries()) {
    const fileSize = Math.ceil(segment.bytes.length / PAGE) * PAGE;
    writeProgramHeader(out, headerBytes + (index + 1) * entryBytes, wide, {
      type: 1,
      flags: segment.flags ?? 6,
      offset: segment.offset,
      vaddr: segment.vaddr,
      fileSize,
      memSize: segment.memSize ?? fileSize,
    });
    out.bytes.set(segment.bytes, segment.offset);
  }
  out.bytes.set(notes, notesAt);
  return out.bytes;
}

/** Build one note, padded to four bytes. */
export function buildNote(note: BuiltNote, layout: ElfLayout = { bits: 64, little: true }): Uint8Array {
  const name = Buffer.from(`${note.name}\0`);
  const nameEnd = 12 + Math.ceil(name.length / 4) * 4;
  const out = new FieldWriter(nameEnd + Math.ceil(note.desc.length / 4) * 4, layout);
  out.u32(0, name.length).u32(4, note.desc.length).u32(8, note.type);
  out.bytes.set(name, 12);
  out.bytes.set(note.desc, nameEnd);
  return out.bytes;
}

/** Build an NT_FILE descriptor. Offsets are in pages of 4096 bytes. */
export function buildFileNote(
  mappings: readonly { path: string; start: bigint; end: bigint; pages: number }[],
): Uint8Array {
  const names = Buffer.concat(mappings.map(({ path }) => Buffer.from(`${path}\0`)));
  const out = new FieldWriter(16 + mappings.length * 24 + names.length);
  out.word(0, mappings.length).word(8, PAGE);
  for (const [index, { start, end, pages }] of mappings.entries())
    out
      .word(16 + index * 24, start)
      .word(24 + index * 24, end)
      .word(32 + index * 24, pages);
  out.bytes.set(names, 16 + mappings.length * 24);
  return out.bytes;
}

/** Build the beginning of an ELF file that carries notes, as it would be mapped. */
export function buildImage(
  notes: readonly BuiltNote[],
  options: { notesAt?: number; length?: number } = {},
): Uint8Array {
  const body = Buffer.concat(notes.map((note) => buildNote(note)));
  const notesAt = options.notesAt ?? 0x200;
  const out = new FieldWriter(Math.max(options.length ?? PAGE, notesAt + body.length));
  out.bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  out.u16(16, 3).u16(18, 62).word(32, 64).u16(52, 64).u16(54, 56).u16(56, 1);
  writeProgramHeader(out, 64, true, {
    type: 4,
    flags: 4,
    offset: notesAt,
    vaddr: BigInt(notesAt),
    fileSize: body.length,
    memSize: body.length,
  });
  out.bytes.set(body, notesAt);
  return out.bytes;
}

interface Program {
  type: number;
  flags: number;
  offset: number;
  vaddr: bigint;
  fileSize: number;
  memSize: number;
}

function writeProgramHeader(out: FieldWriter, at: number, wide: boolean, program: Program): void {
  out.u32(at, program.type);
  if (wide) {
    out
      .u32(at + 4, program.flags)
      .word(at + 8, program.offset)
      .word(at + 16, program.vaddr);
    out
      .word(at + 32, program.fileSize)
      .word(at + 40, program.memSize)
      .word(at + 48, 4);
  } else {
    out
      .word(at + 4, program.offset)
      .word(at + 8, program.vaddr)
      .word(at + 16, program.fileSize)
      .word(at + 20, program.memSize);
    out.u32(at + 24, program.flags).word(at + 28, 4);
  }
}
