import { read, readSync } from "node:fs";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { CoreSegment } from "@cdh/core/elf/facts";
import { errnoOf } from "@cdh/core/errors";
import type { Native } from "../self/native.ts";
import type { HeldMemory, MemoryMapping } from "../who/held-memory.ts";
import { PAGE_BYTES, PopulatedPages, type Stretch } from "./populated-pages.ts";

/** The memory of the process can't be read for sure as the kernel would write it. */
export class MemoryDoubt extends Error {}

/** Part of a core, and the mapping that it is of. */
interface Part {
  /** Offset in the core. */
  offset: number;
  end: number;
  address: number;
  mapping: MemoryMapping;
}

/** Addresses beyond have too many digits for a number; the only mapping there is the kernel's own. */
const ADDRESS_MAX = Number.MAX_SAFE_INTEGER;

/** Shorter stretches are read without a turn of the event loop: thousands of single pages must not take one each. */
const READ_NOW_BYTES = 64 * 1024;

/** A page that a file's server does not give in this time, milliseconds, is left to the kernel. */
const READ_MAX_MS = 2_000;

/** Memory that is counted at once: who has more than this is not told apart. */
const COUNT_MAX_BYTES = 2 ** 50;

/**
 * A core as the kernel would write it, from the memory of the process that it holds: by the core's own table of segments,
 * populated pages alone, everything else zeros. Whatever it is not sure of is a {@link MemoryDoubt}.
 */
export class MemoryCore {
  readonly #held: HeldMemory;
  readonly #pages: PopulatedPages;
  readonly #parts: Part[];
  #next = 0;
  /** Where memory goes that may come late. */
  #bounce: Buffer | undefined;
  /** What was found last of the populated pages, from where on. */
  #stretch: { from: number; found: Stretch | undefined; limit: number } | undefined;

  private constructor(held: HeldMemory, native: Native, parts: Part[]) {
    this.#held = held;
    this.#pages = new PopulatedPages(held.pagemap, native);
    this.#parts = parts;
  }

  /** @param segments of the core, all of them; @throws {MemoryDoubt} */
  static of(held: HeldMemory, segments: readonly CoreSegment[], native: Native): MemoryCore {
    const parts: Part[] = [];
    let mappingIndex = 0;
    for (const { vaddr, offset, fileSize, memSize } of segments) {
      if (fileSize === 0) continue;
      const before = parts.at(-1);
      if (before !== undefined && before.end !== offset) throw new MemoryDoubt("its core has gaps");
      if (fileSize > memSize || fileSize % PAGE_BYTES !== 0) throw new MemoryDoubt("its core has odd segments");
      const address = Number(vaddr);
      while ((held.mappings[mappingIndex]?.start ?? Number.POSITIVE_INFINITY) < address) mappingIndex += 1;
      const mapping = held.mappings[mappingIndex];
      if (mapping === undefined || mapping.start !== address || mapping.end - mapping.start < fileSize)
        throw new MemoryDoubt("its core and its mappings differ");
      if (mapping.contents !== "zero" && mapping.end > ADDRESS_MAX) throw new MemoryDoubt("it has memory above all");
      parts.push({ offset, end: offset + fileSize, address, mapping });
    }
    if (parts.length === 0) throw new MemoryDoubt("its core has no memory");
    return new MemoryCore(held, native, parts);
  }

  /** Where memory begins in the core. */
  get start(): number {
    return this.#parts[0]?.offset ?? 0;
  }

  /** How long the core is. */
  get end(): number {
    return this.#parts.at(-1)?.end ?? 0;
  }

  /** Count the bytes from an offset on that are not known to be zeros, before anything was read. */
  countFrom(offset: number): number {
    let bytes = 0;
    for (const { address, end, offset: begin, mapping } of this.#parts) {
      if (end <= offset || mapping.contents === "zero") continue;
      const size = end - begin;
      bytes +=
        mapping.contents === "anonymous"
          ? this.#pages.count({ start: address, end: address + size }, COUNT_MAX_BYTES)
          : size;
    }
    return bytes;
  }

  /** Count the whole frames of zeros that follow at an offset. */
  zeroFramesAt(offset: number): number {
    let at = offset;
    for (const { length } of this.#zerosFrom(offset)) at += length;
    return Math.floor((at - offset) / FRAME_BYTES);
  }

  /**
   * Read from an offset of the core, not before one that was asked for.
   * @returns bytes; 0 at the end
   * @throws {MemoryDoubt}
   */
  async read(buffer: Buffer, at: number, length: number, offset: number): Promise<number> {
    let done = 0;
    while (done < length) {
      const found = this.#at(offset + done);
      if (found === undefined) break;
      const { isZero, address, bytes, mapping } = found;
      const wanted = Math.min(bytes, length - done);
      if (isZero) buffer.fill(0, at + done, at + done + wanted);
      const got = isZero ? wanted : await this.#readMemory(buffer, at + done, wanted, address);
      if (got > 0) done += got;
      else {
        // The page that can't be read; it may have begun before.
        const rest = Math.min(wanted, PAGE_BYTES - (address % PAGE_BYTES));
        await this.#allowZeros(mapping, address);
        buffer.fill(0, at + done, at + done + rest);
        done += rest;
      }
    }
    return done;
  }

  /** What follows at an offset: zeros, or memory to read. */
  #at(offset: number): { isZero: boolean; address: number; bytes: number; mapping: MemoryMapping } | undefined {
    while ((this.#parts[this.#next]?.end ?? Number.POSITIVE_INFINITY) <= offset) this.#next += 1;
    const part = this.#parts[this.#next];
    if (part === undefined) return undefined;
    return this.#within(part, offset);
  }

  #within(part: Part, offset: number): { isZero: boolean; address: number; bytes: number; mapping: MemoryMapping } {
    const { mapping } = part;
    const address = part.address + (offset - part.offset);
    const end = part.address + (part.end - part.offset);
    if (mapping.contents === "zero") return { isZero: true, address, bytes: end - address, mapping };
    if (mapping.contents !== "anonymous") return { isZero: false, address, bytes: end - address, mapping };
    const stretch = this.#populated(address, end);
    if (stretch === undefined) return { isZero: true, address, bytes: end - address, mapping };
    if (stretch.start > address) return { isZero: true, address, bytes: stretch.start - address, mapping };
    return { isZero: false, address, bytes: stretch.end - address, mapping };
  }

  #populated(address: number, end: number): Stretch | undefined {
    const known = this.#stretch;
    if (known !== undefined && known.limit === end && address >= known.from && address < (known.found?.end ?? end))
      return known.found === undefined
        ? undefined
        : { start: Math.max(known.found.start, address), end: known.found.end };
    const found = this.#pages.next(address, end);
    this.#stretch = { from: address, found, limit: end };
    return found;
  }

  /** The stretches of zeros that follow each other at an offset. */
  *#zerosFrom(offset: number): Generator<{ length: number }> {
    let at = offset;
    for (let index = this.#next; ;) {
      while ((this.#parts[index]?.end ?? Number.POSITIVE_INFINITY) <= at) index += 1;
      const part = this.#parts[index];
      if (part === undefined) return;
      const { isZero, bytes } = this.#within(part, at);
      if (!isZero) return;
      yield { length: bytes };
      at += bytes;
    }
  }

  /** Read memory; 0 where the first page is refused. */
  #readMemory(buffer: Buffer, at: number, length: number, address: number): Promise<number> | number {
    const { mem } = this.#held;
    const found = (count: number): number => {
      if (count === 0) throw new MemoryDoubt("its memory is gone");
      return count;
    };
    const refused = (error: unknown): number => {
      if (errnoOf(error) === "EIO" || errnoOf(error) === "EFAULT") return 0;
      throw new MemoryDoubt(`its memory can't be read: ${errnoOf(error) ?? String(error)}`);
    };
    if (length <= READ_NOW_BYTES && this.#parts[this.#next]?.mapping.contents === "anonymous") {
      try {
        return found(readSync(mem, buffer, at, length, address));
      } catch (error) {
        if (error instanceof MemoryDoubt) throw error;
        return refused(error);
      }
    }
    const isOwn = this.#parts[this.#next]?.mapping.contents === "anonymous";
    // A page of somebody else's may come after it was given up: not into a buffer that has another use by then.
    const into = isOwn ? { buffer, at } : { buffer: (this.#bounce ??= Buffer.allocUnsafeSlow(FRAME_BYTES)), at: 0 };
    const wanted = Math.min(length, FRAME_BYTES);
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#bounce = undefined;
        reject(new MemoryDoubt("a page of it does not come"));
      };
      const timer = isOwn ? undefined : setTimeout(giveUp, READ_MAX_MS);
      read(mem, into.buffer, into.at, wanted, address, (error, count) => {
        clearTimeout(timer);
        try {
          const got = error === null ? found(count) : refused(error);
          if (!isOwn && this.#bounce === into.buffer) into.buffer.copy(buffer, at, 0, got);
          resolve(got);
        } catch (doubt) {
          reject(doubt as Error);
        }
      });
    });
  }

  /** A page that `mem` refuses is zeros in the kernel's core where that is known to be so. @throws {MemoryDoubt} */
  async #allowZeros(mapping: MemoryMapping, address: number): Promise<void> {
    if (mapping.contents === "refusable") return;
    const page = address - (address % PAGE_BYTES);
    if (mapping.contents === "anonymous") {
      if (this.#pages.isGuard(page)) return;
      throw new MemoryDoubt("a page of it is refused");
    }
    const bytes = await this.#held.fileBytes(mapping).catch(() => undefined);
    // Behind the end of a file there is nothing.
    if (bytes !== undefined && mapping.fileOffset + (page - mapping.start) >= bytes) return;
    throw new MemoryDoubt("a page of a file is refused");
  }
}
