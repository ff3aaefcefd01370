import { decodeText, FieldReader, type ElfLayout } from "./bytes.ts";
import { parseProgramHeader, programHeaderBytes, PT_NOTE, tryParseElfHeader, type ProgramHeader } from "./format.ts";
import { NoteReader, NT_FDO_PACKAGING_METADATA, NT_GNU_BUILD_ID, NT_GO_BUILD_ID } from "./notes.ts";
import { PACKAGE_NOTE_MAX_BYTES, tryParsePackageNote, type PackageFacts } from "./package-note.ts";

/** What the notes of an ELF file say about it. */
export interface ModuleNotes {
  buildId?: string;
  /** The id that Go's linker gives, as text; Go before 1.24 gives no other. */
  goBuildId?: string;
  package?: PackageFacts;
}

/** What the first page of a mapped ELF file says about it. */
export interface ModuleImage extends ModuleNotes {
  /** How many bytes from the file's start would be needed to read all its notes, when these were too few. */
  wantedBytes?: number;
}

/** Longest build-ids that are believed. */
const MAX_BUILD_ID_BYTES = 64;
const MAX_GO_BUILD_ID_BYTES = 256;
/** Notes that lie further into the file than this are not asked for. */
const MAX_WANTED_BYTES = 65536;
const MAX_PROGRAM_HEADERS = 128;
/** How far behind a segment of notes another note may follow. */
const BEHIND_NOTES_BYTES = 128;

/**
 * Read build-id and package metadata from the beginning of an ELF file, as the kernel maps and dumps it. Total.
 * @returns undefined when the bytes are no ELF file
 */
export function tryParseModuleImage(bytes: Uint8Array): ModuleImage | undefined {
  const header = tryParseElfHeader(bytes);
  if (header === undefined) return undefined;
  const image: ModuleImage = {};
  const entryBytes = programHeaderBytes(header);
  if (header.phentsize < entryBytes) return image;
  for (let index = 0; index < Math.min(header.phnum, MAX_PROGRAM_HEADERS); index += 1) {
    const at = header.phoff + index * header.phentsize;
    if (at + entryBytes > bytes.length) break;
    const program = parseProgramHeader(bytes.subarray(at, at + entryBytes), header);
    if (program.type !== PT_NOTE || program.fileSize === 0) continue;
    const end = program.offset + program.fileSize;
    if (end <= bytes.length) {
      readNotes(bytes.subarray(program.offset, end), header, program.align, image);
      readBuildIdBehind(bytes.subarray(end, end + BEHIND_NOTES_BYTES), header, image);
    } else if (end <= MAX_WANTED_BYTES) image.wantedBytes = Math.max(image.wantedBytes ?? 0, end);
  }
  return image;
}

/**
 * Read the notes of an ELF file that can be read anywhere.
 * @param read gives up to `length` bytes at an offset into the file
 */
export async function readModuleNotes(
  layout: ElfLayout,
  programs: readonly ProgramHeader[],
  read: (offset: number, length: number) => Uint8Array | Promise<Uint8Array>,
): Promise<ModuleNotes> {
  const notes: ModuleNotes = {};
  for (const { type, offset, fileSize, align } of programs.slice(0, MAX_PROGRAM_HEADERS)) {
    if (type !== PT_NOTE || !Number.isFinite(offset) || fileSize > MAX_WANTED_BYTES) continue;
    const bytes = await read(offset, fileSize + BEHIND_NOTES_BYTES);
    readNotes(bytes.subarray(0, fileSize), layout, align, notes);
    readBuildIdBehind(bytes.subarray(fileSize), layout, notes);
  }
  return notes;
}

function readNotes(bytes: Uint8Array, layout: ElfLayout, align: number, image: ModuleNotes): void {
  const keep = (name: string, type: number, descBytes: number): number => {
    if (name === "GNU" && type === NT_GNU_BUILD_ID) return MAX_BUILD_ID_BYTES;
    if (name === "Go" && type === NT_GO_BUILD_ID) return MAX_GO_BUILD_ID_BYTES;
    const isPackage = name === "FDO" && type === NT_FDO_PACKAGING_METADATA;
    return isPackage && descBytes <= PACKAGE_NOTE_MAX_BYTES ? descBytes : 0;
  };
  const reader = new NoteReader(layout, align, keep, (note) => {
    if (note.name === "GNU") image.buildId ??= Buffer.from(note.desc).toString("hex");
    else if (note.name === "Go") image.goBuildId ??= decodeText(note.desc);
    else {
      const found = tryParsePackageNote(note.desc);
      if (found !== undefined) image.package ??= found;
    }
  });
  reader.push(bytes);
}

/**
 * Read a build-id right behind a segment of notes: Go's linker (1.24 and later) makes the section, and a segment that
 * ends before it.
 */
function readBuildIdBehind(bytes: Uint8Array, layout: ElfLayout, image: ModuleNotes): void {
  if (image.buildId !== undefined || image.goBuildId === undefined) return;
  const field = new FieldReader(bytes, layout);
  for (let at = 0; at + 16 < bytes.length; at += 4) {
    const length = field.u32(at + 4);
    if (field.u32(at) !== 4 || field.u32(at + 8) !== NT_GNU_BUILD_ID || field.text(at + 12, 4) !== "GNU") continue;
    if (length < 8 || length > MAX_BUILD_ID_BYTES || at + 16 + length > bytes.length) return;
    image.buildId = Buffer.from(bytes.subarray(at + 16, at + 16 + length)).toString("hex");
    return;
  }
}
