import { decodeText, FieldReader, type ElfLayout } from "./bytes.ts";

/** Note types of a core, all under the name `CORE`. @see elf(5), include/uapi/linux/elf.h */
export const NT_PRSTATUS = 1;
export const NT_PRPSINFO = 3;
export const NT_AUXV = 6;
export const NT_SIGINFO = 0x53494749;
export const NT_FILE = 0x46494c45;
/** Under the name `GNU`. */
export const NT_GNU_BUILD_ID = 3;
/** Under the name `Go`. */
export const NT_GO_BUILD_ID = 4;
/** Under the name `FDO`. @see https://uapi-group.org/specifications/specs/package_metadata_for_executable_files */
export const NT_FDO_PACKAGING_METADATA = 0xcafe1a7e;

/** One note, its descriptor cut to what was asked for. */
export interface Note {
  name: string;
  type: number;
  /** The descriptor; not a copy of the caller's bytes, free to keep. */
  desc: Uint8Array;
  /** Length that the note claims for its descriptor. */
  descBytes: number;
}

const NOTE_HEADER_BYTES = 12;
const MAX_NAME_BYTES = 64;
/** A process of ten thousand threads has some sixty thousand notes; what follows a million is not looked at. */
const MAX_NOTES = 1_000_000;

/**
 * Read a PT_NOTE segment piece by piece as it streams by. Of each note only as much is kept as `keep` says; the rest,
 * such as the vector registers of ten thousand threads, is passed over.
 */
export class NoteReader {
  readonly #layout: ElfLayout;
  readonly #align: number;
  readonly #keep: (name: string, type: number, descBytes: number) => number;
  readonly #onNote: (note: Note) => void;
  readonly #headerBuffer = new Uint8Array(NOTE_HEADER_BYTES);
  readonly #nameBuffer = new Uint8Array(MAX_NAME_BYTES);
  #buffer = this.#headerBuffer;
  #filled = 0;
  #count = 0;
  #skip = 0;
  #stage: "header" | "name" | "desc" = "header";
  #nameBytes = 0;
  #descBytes = 0;
  #type = 0;
  #name = "";

  /** @param align what names and descriptors are padded to: 4, or 8 in segments that say so */
  constructor(
    layout: ElfLayout,
    align: number,
    keep: (name: string, type: number, descBytes: number) => number,
    onNote: (note: Note) => void,
  ) {
    this.#layout = layout;
    this.#align = align === 8 ? 8 : 4;
    this.#keep = keep;
    this.#onNote = onNote;
  }

  /** Tell whether the bytes so far end between two notes. */
  get atBoundary(): boolean {
    return this.#stage === "header" && this.#filled === 0 && this.#skip === 0;
  }

  /** Take the next bytes of the segment. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length || (this.#skip === 0 && this.#filled === this.#buffer.length)) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      const step = Math.min(this.#buffer.length - this.#filled, bytes.length - at);
      this.#buffer.set(bytes.subarray(at, at + step), this.#filled);
      this.#filled += step;
      at += step;
      if (this.#filled === this.#buffer.length) this.#advance();
      else if (step === 0) return;
    }
  }

  #advance(): void {
    if (this.#stage === "header") {
      const header = new FieldReader(this.#buffer, this.#layout);
      this.#nameBytes = header.u32(0);
      this.#descBytes = header.u32(4);
      this.#type = header.u32(8);
      this.#count += 1;
      if (this.#count > MAX_NOTES) this.#skip = Number.POSITIVE_INFINITY;
      this.#expect("name", this.#nameBuffer.subarray(0, Math.min(this.#nameBytes, MAX_NAME_BYTES)));
    } else if (this.#stage === "name") {
      this.#name = decodeText(this.#buffer);
      this.#skip = pad(NOTE_HEADER_BYTES + this.#nameBytes, this.#align) - NOTE_HEADER_BYTES - this.#buffer.length;
      const wanted = this.#keep(this.#name, this.#type, this.#descBytes);
      this.#expect("desc", new Uint8Array(Math.min(this.#descBytes, wanted)));
    } else {
      const desc = this.#buffer;
      this.#skip = pad(this.#descBytes, this.#align) - desc.length;
      this.#expect("header", this.#headerBuffer);
      if (desc.length > 0) this.#onNote({ name: this.#name, type: this.#type, desc, descBytes: this.#descBytes });
    }
  }

  #expect(stage: "header" | "name" | "desc", buffer: Uint8Array<ArrayBuffer>): void {
    this.#stage = stage;
    this.#buffer = buffer;
    this.#filled = 0;
  }
}

function pad(length: number, align: number): number {
  return Math.ceil(length / align) * align;
}
