import { readSync } from "node:fs";
import type { Native } from "../self/native.ts";

/** The size of a page as /proc counts them here. */
export const PAGE_BYTES = 4096;

/** Regions that are asked for at once. */
const REGIONS = 1024;
/** @see struct page_region, linux/fs.h: start, end, categories */
const REGION_WORDS = 3;

/** Pages whose words are read at once where the kernel has no PAGEMAP_SCAN. */
const WINDOW_PAGES = 64 * 1024;
const WORD_BYTES = 8;
/** In the upper half of a page's word. @see Documentation/admin-guide/mm/pagemap.rst */
const PRESENT_OR_SWAPPED = 0xc000_0000;
const GUARD = 0x0400_0000;

/** A stretch of memory: addresses of its first byte and of the one behind its last. */
export interface Stretch {
  start: number;
  end: number;
}

/**
 * Finds the pages of a held process that hold something, in ascending order: those that are in memory or swapped out. All
 * others of anonymous memory are zeros.
 */
export class PopulatedPages {
  readonly #fd: number;
  readonly #native: Native;
  readonly #regions = new BigUint64Array(REGIONS * REGION_WORDS);
  #words: Buffer | undefined;
  #found: Stretch[] = [];
  /** Up to where {@link #found} tells all. */
  #known: Stretch = { start: 0, end: 0 };
  #canScan: boolean;

  /** @param fd of /proc/<pid>/pagemap */
  constructor(fd: number, native: Native) {
    this.#fd = fd;
    this.#native = native;
    this.#canScan = native.scanPages !== undefined;
  }

  /**
   * Find the first stretch of such pages from an address on.
   * @param end where the search ends
   * @returns cut to these addresses; undefined when there is none
   * @throws the system's error when the kernel does not tell
   */
  next(from: number, end: number): Stretch | undefined {
    for (let at = from; at < end;) {
      if (at < this.#known.start || at >= this.#known.end) this.#look(at, end);
      const stretch = this.#found.find((one) => one.end > at);
      if (stretch !== undefined && stretch.start < end)
        return { start: Math.max(stretch.start, from), end: Math.min(stretch.end, end) };
      at = this.#known.end;
    }
    return undefined;
  }

  /** Count bytes of such pages between two addresses, up to `most`. */
  count({ start, end }: Stretch, most: number): number {
    let bytes = 0;
    for (let at = start; at < end && bytes < most;) {
      const found = this.next(at, end);
      if (found === undefined) break;
      bytes += found.end - found.start;
      at = found.end;
    }
    return bytes;
  }

  /** Tell whether a page is a guard (MADV_GUARD_INSTALL), whose core holds zeros; false also where the kernel does not tell. */
  isGuard(address: number): boolean {
    const word = Buffer.alloc(WORD_BYTES);
    if (readSync(this.#fd, word, 0, WORD_BYTES, (address / PAGE_BYTES) * WORD_BYTES) !== WORD_BYTES) return false;
    return (word.readUInt32LE(4) & GUARD) !== 0;
  }

  #look(address: number, end: number): void {
    const from = address - (address % PAGE_BYTES);
    const scanned = this.#canScan ? this.#native.scanPages?.(this.#fd, from, end, this.#regions) : undefined;
    if (scanned === undefined) {
      this.#canScan = false;
      return this.#readWords(from, end);
    }
    this.#found = [];
    for (let index = 0; index < scanned.count; index += 1) {
      const [start, stop] = [this.#regions[index * REGION_WORDS], this.#regions[index * REGION_WORDS + 1]];
      this.#add(Number(start), Number(stop));
    }
    if (scanned.walkEnd <= from) throw new Error("the kernel does not tell which pages there are");
    this.#known = { start: from, end: scanned.walkEnd };
  }

  #readWords(from: number, end: number): void {
    const words = (this.#words ??= Buffer.allocUnsafeSlow(WINDOW_PAGES * WORD_BYTES));
    const first = Math.floor(from / PAGE_BYTES);
    const wanted = Math.min(WINDOW_PAGES, Math.ceil(end / PAGE_BYTES) - first) * WORD_BYTES;
    const count = readSync(this.#fd, words, 0, wanted, first * WORD_BYTES);
    if (count <= 0) throw new Error("the kernel does not tell which pages there are");
    const halves = new Uint32Array(words.buffer, words.byteOffset, count / 4);
    this.#found = [];
    let begin: number | undefined;
    for (let page = 0; page * 2 + 1 < halves.length; page += 1) {
      const isThere = ((halves[page * 2 + 1] ?? 0) & PRESENT_OR_SWAPPED) !== 0;
      if (isThere) begin ??= page;
      else if (begin !== undefined) {
        this.#add((first + begin) * PAGE_BYTES, (first + page) * PAGE_BYTES);
        begin = undefined;
      }
    }
    const pages = Math.floor(count / WORD_BYTES);
    if (begin !== undefined) this.#add((first + begin) * PAGE_BYTES, (first + pages) * PAGE_BYTES);
    this.#known = { start: from, end: (first + pages) * PAGE_BYTES };
  }

  #add(start: number, end: number): void {
    const last = this.#found.at(-1);
    if (last?.end === start) last.end = end;
    else this.#found.push({ start, end });
  }
}
