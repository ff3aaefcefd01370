import { parseProgramHeader, PN_XNUM, PT_NOTE, type ElfHeader, type ProgramHeader } from "./format.ts";
import type { RegionFeed } from "./regions.ts";

/** Linux allows 65,530 mappings unless told otherwise; a table longer than this is no table. */
export const MAX_PROGRAM_HEADERS = 4_194_304;

/** Receive the table of program headers as it streams by. */
export interface ProgramTableHandlers {
  entry(program: ProgramHeader): void;
  /** Called once, at the end of the table; `problem` says why not all entries were seen. */
  done(problem?: string): void;
}

/**
 * Read the table of program headers.
 *
 * A core with 65,535 segments or more (PN_XNUM) says their number only in a section header at its very end. Linux
 * writes the notes right behind the program headers, so their number follows from where the first PT_NOTE starts.
 * @param known the number of a PN_XNUM core, where the caller could look at its end
 * @see elf(5), fs/binfmt_elf.c elf_core_dump
 */
export function readProgramHeaders(
  feed: RegionFeed,
  header: ElfHeader,
  known: number | undefined,
  handlers: ProgramTableHandlers,
): void {
  const count = header.phnum === PN_XNUM ? known : header.phnum;
  if (count === 0) handlers.done("no program headers");
  else if (count !== undefined) readEntries(feed, header, 0, count, handlers);
  else {
    let first: ProgramHeader | undefined;
    readEntries(feed, header, 0, 1, {
      entry: (program) => {
        first = program;
        handlers.entry(program);
      },
      done: (problem) => {
        const derived = first === undefined ? undefined : deriveCount(header, first);
        if (problem !== undefined) handlers.done(problem);
        else if (derived === undefined) handlers.done("more than 65,534 program headers, and no telling how many");
        else readEntries(feed, header, 1, derived, handlers);
      },
    });
  }
}

function readEntries(
  feed: RegionFeed,
  header: ElfHeader,
  from: number,
  to: number,
  handlers: ProgramTableHandlers,
): void {
  const entry = new Uint8Array(header.phentsize);
  let filled = 0;
  feed.add({
    offset: header.phoff + from * header.phentsize,
    length: (to - from) * header.phentsize,
    feed: (bytes) => {
      for (let at = 0; at < bytes.length;) {
        const step = Math.min(entry.length - filled, bytes.length - at);
        entry.set(bytes.subarray(at, at + step), filled);
        filled += step;
        at += step;
        if (filled < entry.length) return;
        filled = 0;
        handlers.entry(parseProgramHeader(entry, header));
      }
    },
    done: (whole) => handlers.done(whole ? undefined : "the program headers are cut short"),
  });
}

function deriveCount(header: ElfHeader, first: ProgramHeader): number | undefined {
  const count = Math.floor((first.offset - header.phoff) / header.phentsize);
  return first.type === PT_NOTE && count >= PN_XNUM && count <= MAX_PROGRAM_HEADERS ? count : undefined;
}
