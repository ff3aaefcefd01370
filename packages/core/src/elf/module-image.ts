import { decodeText, type ElfLayout } from "./bytes.ts";
import { parseProgramHeader, programHeaderBytes, PT_NOTE, tryParseElfHeader } from "./format.ts";
import { NoteReader, NT_FDO_PACKAGING_METADATA, NT_GNU_BUILD_ID } from "./notes.ts";

/** What the first page of a mapped ELF file says about it. */
export interface ModuleImage {
  buildId?: string;
  package?: Record<string, unknown>;
  /** How many bytes from the file's start would be needed to read all its notes, when these were too few. */
  wantedBytes?: number;
}

/** Longest build-id and package metadata that are believed. */
const MAX_BUILD_ID_BYTES = 64;
const MAX_PACKAGE_BYTES = 16384;
/** Notes that lie further into the file than this are not asked for. */
const MAX_WANTED_BYTES = 65536;
const MAX_PROGRAM_HEADERS = 128;

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
    if (end <= bytes.length) readNotes(bytes.subarray(program.offset, end), header, program.align, image);
    else if (end <= MAX_WANTED_BYTES) image.wantedBytes = Math.max(image.wantedBytes ?? 0, end);
  }
  return image;
}

function readNotes(bytes: Uint8Array, layout: ElfLayout, align: number, image: ModuleImage): void {
  const keep = (name: string, type: number): number => {
    if (name === "GNU" && type === NT_GNU_BUILD_ID) return MAX_BUILD_ID_BYTES;
    return name === "FDO" && type === NT_FDO_PACKAGING_METADATA ? MAX_PACKAGE_BYTES : 0;
  };
  const reader = new NoteReader(layout, align, keep, (note) => {
    if (note.name === "GNU") image.buildId ??= Buffer.from(note.desc).toString("hex");
    else {
      const metadata = tryParseObject(decodeText(note.desc));
      if (metadata !== undefined) image.package ??= metadata;
    }
  });
  reader.push(bytes);
}

function tryParseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
