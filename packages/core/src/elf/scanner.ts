import type { Problem } from "../base/problem.ts";
import { decodeText } from "./bytes.ts";
import { CoreNotes } from "./core-notes.ts";
import { DEFAULT_ELF_LIMITS, type CoreFacts, type CoreSegment, type ElfLimits } from "./facts.ts";
import {
  ELF_HEADER_BYTES,
  ET_CORE,
  programHeaderBytes,
  PT_LOAD,
  PT_NOTE,
  tryParseElfHeader,
  type ElfHeader,
  type ProgramHeader,
} from "./format.ts";
import { IMAGE_BYTES, ModuleImages } from "./module-images.ts";
import { moduleStarts } from "./module-starts.ts";
import { groupModules } from "./modules.ts";
import { NoteReader } from "./notes.ts";
import { readProgramHeaders } from "./program-table.ts";
import { RegionFeed } from "./regions.ts";

const STRING_BYTES = 512;
const MAX_NOTE_SEGMENTS = 16;
const MAX_PROBLEMS = 32;

/**
 * Read a core while it streams by, keeping a few megabytes at most: ELF header, program headers, notes, and the first
 * page of each mapped ELF file for its build-id. Never throws, whatever the bytes; what is damaged becomes a problem.
 * @see elf(5), fs/binfmt_elf.c elf_core_dump
 */
export class ElfCoreScanner {
  readonly #limits: ElfLimits;
  readonly #knownProgramHeaders: number | undefined;
  readonly #problems: Problem[] = [];
  readonly #regions = new RegionFeed();
  readonly #images: ModuleImages;
  readonly #segments: CoreSegment[] = [];
  #segmentsBySortedOffset: CoreSegment[] = [];
  #nextSegment = 0;
  #position = 0;
  #received = 0;
  #starts: Set<bigint> | undefined;
  #header: ElfHeader | undefined;
  #headersRead = false;
  #noteSegments = 0;
  #expected = 0;
  #notesRead = false;
  #notes: CoreNotes | undefined;
  #execfn: string | undefined;
  #platform: string | undefined;
  #finished: CoreFacts | undefined;

  /** @param programHeaders their number, where the caller knows it from the section header of a PN_XNUM core */
  constructor(limits: Partial<ElfLimits> = {}, programHeaders?: number) {
    this.#limits = { ...DEFAULT_ELF_LIMITS, ...limits };
    this.#knownProgramHeaders = programHeaders;
    this.#images = new ModuleImages(this.#limits.modules, this.#regions, (code, detail) => this.#problem(code, detail));
    this.#regions.collect(0, ELF_HEADER_BYTES, (bytes) => this.#onHeader(bytes));
  }

  /** Take the next bytes of the core. They may be reused afterwards. */
  push(chunk: Uint8Array): void {
    if (this.#finished !== undefined) return;
    const base = this.#position;
    const end = base + chunk.length;
    this.#position = end;
    this.#received = Math.max(this.#received, end);
    this.#regions.feed(chunk, base);
    while (this.#nextSegment < this.#segmentsBySortedOffset.length) {
      const segment = this.#segmentsBySortedOffset[this.#nextSegment];
      if (segment === undefined || segment.offset >= end || (this.#regions.jumps && segment.offset !== base)) break;
      this.#nextSegment += 1;
      if (this.#moduleStarts()?.has(segment.vaddr) === false) continue;
      if (segment.offset >= base) this.#images.look(segment, chunk.subarray(segment.offset - base));
    }
  }

  /**
   * Tell which bytes would be looked at next, for a reader that can jump: {@link seek} there and push them. Undefined
   * when there is nothing more to learn.
   */
  nextWanted(): { offset: number; length: number } | undefined {
    const next = this.#regions.next();
    if (next !== undefined) return next;
    const starts = this.#moduleStarts();
    for (; this.#nextSegment < this.#segmentsBySortedOffset.length; this.#nextSegment += 1) {
      const segment = this.#segmentsBySortedOffset[this.#nextSegment];
      if (segment !== undefined && (starts === undefined || starts.has(segment.vaddr))) {
        return { offset: segment.offset, length: Math.min(IMAGE_BYTES, segment.fileSize) };
      }
    }
    return undefined;
  }

  /** Tell whether the notes have passed, and did not list all files: then the modules have to be learnt elsewhere. */
  get lacksFiles(): boolean {
    return this.#notesRead && this.#fileList !== "whole" && (this.#notes?.threadCount ?? 0) > 0;
  }

  /** What the notes say of threads and machine, once they have passed; undefined before. */
  get threadsSoFar(): Pick<CoreFacts, "threads" | "machine" | "auxv"> | undefined {
    if (!this.#notesRead || this.#notes === undefined || this.#header === undefined) return undefined;
    const { threads, auxv } = this.#notes.facts();
    return { threads, machine: this.#header.machine, ...(auxv === undefined ? {} : { auxv }) };
  }

  /** How much was parsed so far: mappings of files, once the notes have passed, and beginnings of ELF files. */
  get parsedCount(): number {
    return (this.#notesRead ? (this.#notes?.mappings?.length ?? 0) : 0) + this.#images.found.size;
  }

  /** How long the core is going to be, as far as its headers have told: 0 before. */
  get expectedBytes(): number {
    return this.#expected;
  }

  /** The core's segments, once headers and notes have passed; undefined before, and where not all of them are known. */
  get segmentsSoFar(): readonly CoreSegment[] | undefined {
    const isWhole = this.#headersRead && this.#notesRead && this.#segments.length < this.#limits.segments;
    return isWhole && this.#header?.shoff === 0 ? this.#segments : undefined;
  }

  /** Say at which offset of the core the next pushed bytes lie. */
  seek(offset: number): void {
    this.#position = offset;
    this.#regions.jumps = true;
  }

  /** Give up the bytes that {@link nextWanted} asked for, because they can't be had. */
  dropWanted(): void {
    const wanted = this.nextWanted();
    if (!this.#regions.drop(wanted?.offset)) this.#nextSegment += 1;
  }

  /**
   * End the stream and say everything that was learnt. Later calls give the same answer.
   * @param totalBytes the core's size, for a reader that jumped; otherwise what was pushed counts
   */
  finish(totalBytes: number = this.#received): CoreFacts {
    if (this.#finished !== undefined) return this.#finished;
    this.#regions.end();
    const isCore = this.#header?.type === ET_CORE;
    if (totalBytes === 0) this.#problem("CDH_CORE_EMPTY", "no byte arrived");
    else if (this.#header === undefined)
      this.#problem("CDH_CORE_NOT_ELF", "the stream does not start with an ELF header");
    const { mappings, ...rest } = this.#notes?.facts() ?? { threads: [], threadCount: 0, mappings: [] };
    if (rest.threadCount > this.#limits.threads)
      this.#problem(
        "CDH_CORE_LIMIT",
        `only the first ${this.#limits.threads} of ${rest.threadCount} threads are listed`,
      );
    this.#images.end();
    if (isCore && this.lacksFiles)
      this.#problem(
        "CDH_CORE_FILES",
        `${this.#fileList === "cut" ? "the core's list of files is cut" : "the core lists no files"}: only modules that are listed are known`,
      );
    const expected = this.#headersRead && Number.isFinite(this.#expected) ? this.#expected : undefined;
    this.#finished = {
      isCore,
      ...(this.#header === undefined ? {} : { machine: this.#header.machine }),
      receivedBytes: totalBytes,
      ...(expected === undefined ? {} : { expectedBytes: expected }),
      complete: isCore && expected !== undefined && totalBytes >= expected,
      ...rest,
      mappings,
      fileList: this.#fileList,
      modules: groupModules(mappings, this.#images.found, this.#segments, rest.auxv),
      ...(this.#execfn === undefined ? {} : { execfn: this.#execfn }),
      ...(this.#platform === undefined ? {} : { platform: this.#platform }),
      segments: this.#segments,
      problems: this.#problems,
    };
    return this.#finished;
  }

  get #fileList(): CoreFacts["fileList"] {
    const { mappings = [], isFileNoteCut = false } = this.#notes ?? {};
    if (isFileNoteCut) return "cut";
    return mappings.length > 0 ? "whole" : "missing";
  }

  #onHeader(bytes: Uint8Array): void {
    const header = tryParseElfHeader(bytes);
    this.#header = header;
    if (header === undefined) return;
    if (header.type !== ET_CORE)
      this.#problem("CDH_CORE_NOT_CORE", `the ELF type is ${header.type}, a core's is ${ET_CORE}`);
    const entryBytes = programHeaderBytes(header);
    if (header.phentsize < entryBytes || !Number.isFinite(header.phoff) || !Number.isFinite(header.shoff)) {
      this.#problem("CDH_CORE_DAMAGED", `program headers of ${header.phentsize} bytes at ${header.phoff}`);
      return;
    }
    this.#notes = new CoreNotes(header, header.machine, this.#limits, (code, detail) => this.#problem(code, detail));
    if (header.shoff > 0) this.#promise(header.shoff + Math.max(header.shnum, 1) * header.shentsize);
    readProgramHeaders(this.#regions, header, this.#knownProgramHeaders, {
      entry: (program) => this.#onProgramHeader(header, program),
      done: (problem) => {
        if (problem !== undefined) this.#problem("CDH_CORE_DAMAGED", problem);
        this.#onTable(header, problem === undefined);
      },
    });
  }

  #onProgramHeader(header: ElfHeader, program: ProgramHeader): void {
    if (program.fileSize > 0) this.#promise(program.offset + program.fileSize);
    if (program.type === PT_LOAD) this.#onLoad(program);
    else if (program.type === PT_NOTE && program.fileSize > 0) this.#onNoteSegment(header, program);
  }

  #onLoad(program: ProgramHeader): void {
    if (this.#segments.length >= this.#limits.segments) {
      this.#problem("CDH_CORE_LIMIT", `only the first ${this.#limits.segments} segments are kept`);
      return;
    }
    if (!Number.isFinite(program.offset) || !Number.isFinite(program.fileSize) || !Number.isFinite(program.memSize)) {
      this.#problem("CDH_CORE_DAMAGED", "a segment of absurd size");
      return;
    }
    const { vaddr, offset, fileSize, memSize, flags } = program;
    this.#segments.push({ vaddr, offset, fileSize, memSize, flags });
  }

  #onNoteSegment(header: ElfHeader, program: ProgramHeader): void {
    const notes = this.#notes;
    this.#noteSegments += 1;
    if (
      notes === undefined ||
      this.#noteSegments > MAX_NOTE_SEGMENTS ||
      !Number.isFinite(program.offset + program.fileSize)
    ) {
      this.#problem("CDH_CORE_DAMAGED", "too many or absurd note segments");
      return;
    }
    const reader = new NoteReader(
      header,
      program.align,
      (name, type) => notes.keep(name, type),
      (note) => notes.take(note),
    );
    this.#regions.add({
      offset: program.offset,
      length: program.fileSize,
      feed: (bytes) => reader.push(bytes),
      done: (whole) => {
        if (!whole || !reader.atBoundary) this.#problem("CDH_CORE_DAMAGED", "the notes are cut short");
        else this.#notesRead = true;
        this.#wantStrings(notes);
      },
    });
  }

  #onTable(header: ElfHeader, whole: boolean): void {
    this.#headersRead = whole && header.type === ET_CORE;
    this.#segmentsBySortedOffset = this.#segments
      .filter((segment) => segment.fileSize >= ELF_HEADER_BYTES)
      .sort((a, b) => a.offset - b.offset);
    if (this.#noteSegments === 0 && header.type === ET_CORE) this.#problem("CDH_CORE_DAMAGED", "no notes");
    if (this.#notes !== undefined) this.#wantStrings(this.#notes);
  }

  /** The stack comes after the notes that point into it, so the strings can still be caught. */
  #wantStrings(notes: CoreNotes): void {
    const { execfn, platform } = notes.auxv ?? {};
    if (this.#execfn === undefined) this.#wantString(execfn, (text) => (this.#execfn ??= text));
    if (this.#platform === undefined) this.#wantString(platform, (text) => (this.#platform ??= text));
  }

  #wantString(address: bigint | undefined, then: (text: string) => void): void {
    if (address === undefined) return;
    const segment = this.#segments.find(
      ({ vaddr, fileSize }) => vaddr <= address && address < vaddr + BigInt(fileSize),
    );
    if (segment === undefined) return;
    const within = Number(address - segment.vaddr);
    this.#regions.collect(segment.offset + within, Math.min(STRING_BYTES, segment.fileSize - within), (bytes) => {
      if (bytes.includes(0)) then(decodeText(bytes));
    });
  }

  #moduleStarts(): Set<bigint> | undefined {
    const mappings = this.#notes?.mappings;
    // Where files are not listed an ELF file may begin anywhere; a reader that jumps would have to fetch each place.
    if (this.#notes?.isFileNoteCut === true && !this.#regions.jumps) return undefined;
    if (mappings !== undefined) this.#starts ??= moduleStarts(mappings, this.#notes?.auxv?.sysinfoEhdr);
    return this.#starts;
  }

  #promise(bytes: number): void {
    this.#expected = Math.max(this.#expected, bytes);
  }

  #problem(code: string, detail: string): void {
    const known = this.#problems.some((problem) => problem.code === code && problem.detail === detail);
    if (!known && this.#problems.length < MAX_PROBLEMS) this.#problems.push({ step: "core", code, detail });
  }
}
