import { crc32 } from "node:zlib";
import { soon } from "@cdh/core/async/soon";
import type { Problem } from "@cdh/core/bundle/manifest";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { Clock } from "@cdh/core/clock";
import type { CoreSegment } from "@cdh/core/elf/facts";
import type { CoreInput } from "../self/input.ts";
import type { Native } from "../self/native.ts";
import type { HeldMemory } from "../who/held-memory.ts";
import { MemoryCore, MemoryDoubt } from "./memory-core.ts";

/** A core of fewer bytes comes by the pipe before its memory is found. */
const WORTH_BYTES = 16 * FRAME_BYTES;

/** So long is waited for the process to be found, milliseconds: its memory comes so much faster than by the pipe. */
const WAIT_MS = 500;

const ZEROS = Buffer.alloc(FRAME_BYTES);

/** Sums of a stream, one for each stretch of {@link FRAME_BYTES}. */
class Sums {
  readonly #from: number;
  readonly #sums: number[] = [];
  #bytes = 0;

  /** @param from where in the core the stream begins */
  constructor(from: number) {
    this.#from = from;
  }

  /** Add the next bytes. */
  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const index = Math.floor(this.#bytes / FRAME_BYTES);
      const part = bytes.subarray(at, at + FRAME_BYTES - (this.#bytes % FRAME_BYTES));
      this.#sums[index] = crc32(part, this.#sums[index] ?? 0);
      this.#bytes += part.length;
      at += part.length;
    }
  }

  /** Tell near which byte of the core two streams begin to differ; undefined where they are the same. */
  differsFrom(other: Sums): number | undefined {
    const most = Math.max(this.#sums.length, other.#sums.length);
    for (let index = 0; index < most; index += 1)
      if (this.#sums[index] !== other.#sums[index]) return this.#from + index * FRAME_BYTES;
    return this.#bytes === other.#bytes ? undefined : this.#from + Math.min(this.#bytes, other.#bytes);
  }
}

/** What a core's memory is read by. */
export interface MemoryInputOptions {
  pipe: CoreInput;
  native: Native;
  clock: Clock;
  /** The process's memory; in words why not. Settles soon, and never rejects. */
  memory: Promise<HeldMemory | { doubt: string }>;
  /** The core's segments, all of them, once its headers and notes have passed. */
  segments: () => readonly CoreSegment[] | undefined;
  /** Whether the pipe is read as well, and held against what the memory gave. */
  isChecked: boolean;
}

/**
 * A core whose headers and notes come by the kernel's pipe, and whose memory is read from the process, which takes a
 * fraction of the time. The kernel goes on writing all the while, and waits: so in any doubt the rest is taken from the
 * pipe, whose first bytes are passed over.
 */
export class MemoryInput implements CoreInput {
  readonly readNow?: NonNullable<CoreInput["readNow"]>;
  readonly #options: MemoryInputOptions;
  /** Bytes given, and bytes taken from the pipe. */
  #given = 0;
  #piped = 0;
  #core: MemoryCore | undefined;
  #reason: string | undefined;
  #fromMemory = 0;
  #countedBytes: number | undefined;
  /** Of what both gave, where they are compared. */
  #sums: { memory: Sums; pipe: Sums } | undefined;
  /** What went wrong. */
  readonly problems: Problem[] = [];

  constructor(options: MemoryInputOptions) {
    this.#options = options;
    const { pipe } = options;
    const readPipeNow = pipe.readNow?.bind(pipe);
    if (readPipeNow === undefined) return;
    this.readNow = (buffer, offset, length, mayNap) => {
      if (this.#core !== undefined || this.#given !== this.#piped || this.#mayBegin()) return undefined;
      const count = readPipeNow(buffer, offset, length, mayNap);
      this.#given += count ?? 0;
      this.#piped += count ?? 0;
      return count;
    };
  }

  /** Bytes that were read from the process. */
  get memoryBytes(): number {
    return this.#fromMemory;
  }

  /** Why its memory was not read from the process, or not all; undefined when it was, or nobody tried. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Bytes of the core that are not known to be zeros; undefined where its memory is not read from the process. */
  get countedBytes(): number | undefined {
    return this.#countedBytes;
  }

  /** Bytes that the kernel would still have to send. */
  get leftInPipe(): number {
    return this.#core === undefined ? 0 : this.#given - this.#piped;
  }

  /** Count the whole frames of zeros that come next. */
  zeroFrames(): number {
    const frames = this.#core?.zeroFramesAt(this.#given) ?? 0;
    return frames > 0 && this.#isWriting() ? frames : 0;
  }

  /** Pass over frames of zeros that {@link zeroFrames} counted. */
  skipZeroFrames(count: number): void {
    for (let left = count; left > 0; left -= 1) this.#sums?.memory.add(ZEROS);
    this.#given += count * FRAME_BYTES;
    this.#fromMemory += count * FRAME_BYTES;
  }

  async read(buffer: Buffer, offset: number, length: number): Promise<number> {
    if (this.#core === undefined && this.#mayBegin()) await this.#begin();
    if (this.#core !== undefined) {
      const count = await this.#readMemory(this.#core, buffer, offset, length);
      if (count !== undefined) return count;
    }
    return await this.#readPipe(buffer, offset, length);
  }

  close(): Promise<void> {
    return this.#options.pipe.close();
  }

  #mayBegin(): boolean {
    return this.#reason === undefined && this.#options.segments() !== undefined;
  }

  async #begin(): Promise<void> {
    const { memory, native, clock, isChecked } = this.#options;
    try {
      const segments = this.#options.segments() ?? [];
      const last = segments.at(-1);
      if (last === undefined || (last.offset + last.fileSize - this.#given < WORTH_BYTES && !isChecked))
        throw new MemoryDoubt("it is small");
      const held = await soon(memory, WAIT_MS, clock);
      if (held === undefined) throw new MemoryDoubt("its process was not found in time");
      if ("doubt" in held) throw new MemoryDoubt(held.doubt);
      const core = MemoryCore.of(held, segments, native);
      if (this.#given < core.start) throw new MemoryDoubt("its headers came late");
      this.#countedBytes = this.#given + core.countFrom(this.#given);
      if (!this.#isWriting()) throw new MemoryDoubt("the kernel has written all of it");
      this.#core = core;
      if (isChecked) this.#sums = { memory: new Sums(this.#given), pipe: new Sums(this.#given) };
    } catch (error) {
      this.#leave(error);
    }
  }

  /** Read from the process; undefined when the pipe has to give it. */
  async #readMemory(core: MemoryCore, buffer: Buffer, offset: number, length: number): Promise<number | undefined> {
    try {
      const count = await core.read(buffer, offset, length, this.#given);
      // Only as long as the kernel writes on is the process held, and its memory whole.
      if (!this.#isWriting()) throw new MemoryDoubt("the kernel stopped writing");
      if (count === 0) {
        const held = await this.#options.memory;
        if ("doubt" in held || held.wasKilled()) throw new MemoryDoubt("it was killed");
        await this.#check();
      }
      this.#sums?.memory.add(buffer.subarray(offset, offset + count));
      this.#given += count;
      this.#fromMemory += count;
      return count;
    } catch (error) {
      this.#leave(error);
      return undefined;
    }
  }

  /** Read the pipe to its end, and compare. */
  async #check(): Promise<void> {
    const sums = this.#sums;
    this.#sums = undefined;
    if (sums === undefined) return;
    const buffer = Buffer.allocUnsafeSlow(FRAME_BYTES);
    for (;;) {
      const count = await this.#options.pipe.read(buffer, 0, buffer.length);
      if (count === 0) break;
      sums.pipe.add(buffer.subarray(0, count));
      this.#piped += count;
    }
    const difference = sums.memory.differsFrom(sums.pipe);
    if (difference === undefined) return;
    const detail = `memory and pipe differ near byte ${difference}; memory gave ${this.#given} bytes, the pipe ${this.#piped}`;
    this.problems.push({ step: "take", code: "CDH_TAKE_DIFFERS", detail });
  }

  #leave(error: unknown): void {
    this.#core = undefined;
    this.#countedBytes = undefined;
    this.#reason = error instanceof Error ? error.message : String(error);
  }

  /** The kernel is still writing: the other end of the pipe is open. */
  #isWriting(): boolean {
    return this.#options.native.isHungUp(0) === false;
  }

  async #readPipe(buffer: Buffer, offset: number, length: number): Promise<number> {
    const { pipe } = this.#options;
    while (this.#piped < this.#given) {
      const passed = await pipe.read(buffer, offset, Math.min(length, this.#given - this.#piped));
      this.#piped += passed;
      if (passed === 0) throw new Error(`the kernel stopped writing at ${this.#piped} of ${this.#given} bytes`);
    }
    const count = await pipe.read(buffer, offset, length);
    this.#given += count;
    this.#piped += count;
    return count;
  }
}
