import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { CoreSegment } from "@cdh/core/elf/facts";
import { SeededRandom } from "@cdh/core/testing/random";
import type { CoreInput } from "../self/input.ts";
import { makeTestNative } from "../testing/test-native.ts";
import type { HeldMemory, MemoryMapping } from "../who/held-memory.ts";
import { MemoryInput } from "./memory-input.ts";

const MIB = 1024 * 1024;
const PAGE = 4096;
const HEAD = 3 * PAGE;
/** Three mappings behind each other, and what is between them. */
const FIRST = 4 * MIB;
const SECOND = 16 * MIB;
const THIRD = 40 * MIB;
const [FIRST_BYTES, SECOND_BYTES, THIRD_BYTES] = [5 * MIB, 20 * MIB, 2 * MIB];

let scratch: string;
let fds: number[];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "cdh-memory-"));
  fds = [];
});
afterEach(() => {
  for (const fd of fds) closeSync(fd);
  rmSync(scratch, { recursive: true, force: true });
});

function open(name: string, bytes: Uint8Array): number {
  writeFileSync(join(scratch, name), bytes);
  const fd = openSync(join(scratch, name), "r");
  fds.push(fd);
  return fd;
}

/** A process's memory in a file, its page table in another, and the core that a kernel would write of it. */
function makeProcess(): { held: HeldMemory; core: Buffer; segments: CoreSegment[] } {
  const random = new SeededRandom(3);
  const memory = Buffer.alloc(THIRD + THIRD_BYTES);
  const words = Buffer.alloc((memory.length / PAGE) * 8);
  const touch = (start: number, bytes: number, oneIn: number): void => {
    for (let at = start; at < start + bytes; at += PAGE) {
      if (random.integer(oneIn) !== 0) continue;
      memory.fill(1 + random.integer(255), at, at + PAGE);
      words.writeUInt32LE(0x8000_0000, (at / PAGE) * 8 + 4);
    }
  };
  touch(FIRST, FIRST_BYTES, 2);
  touch(SECOND + 9 * MIB, 2 * MIB, 3);
  // Of a file: the process has seen none of its pages.
  memory.fill("file", THIRD, THIRD + THIRD_BYTES);
  const mappings: MemoryMapping[] = [
    { start: FIRST, end: FIRST + FIRST_BYTES, contents: "anonymous", fileOffset: 0 },
    { start: SECOND, end: SECOND + SECOND_BYTES, contents: "anonymous", fileOffset: 0 },
    { start: THIRD, end: THIRD + THIRD_BYTES, contents: "backed", fileOffset: 0 },
  ];
  const parts = mappings.map(({ start, end }) => memory.subarray(start, end));
  const segments: CoreSegment[] = [];
  let offset = HEAD;
  for (const [index, part] of parts.entries()) {
    const vaddr = BigInt(mappings[index]?.start ?? 0);
    segments.push({ vaddr, offset, fileSize: part.length, memSize: part.length, flags: 6 });
    offset += part.length;
  }
  const held: HeldMemory = {
    mem: open("mem", memory),
    pagemap: open("pagemap", words),
    mappings,
    fileBytes: async () => THIRD_BYTES,
    wasKilled: () => false,
    close: () => {},
  };
  return { held, core: Buffer.concat([Buffer.alloc(HEAD, "head"), ...parts]), segments };
}

function pipeOf(core: Buffer): CoreInput & { taken: () => number } {
  let at = 0;
  return {
    taken: () => at,
    read: async (buffer, offset, length) => {
      const count = core.copy(buffer, offset, at, at + Math.min(length, 65_536));
      at += count;
      return count;
    },
    close: async () => {},
  };
}

/** Read to the end as a drain does. */
async function readAll(input: MemoryInput): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.alloc(MIB);
    let filled = 0;
    for (;;) {
      const count = await input.read(buffer, filled, MIB - filled);
      filled += count;
      if (count === 0 || filled === MIB) break;
    }
    parts.push(buffer.subarray(0, filled));
    if (filled < MIB) return Buffer.concat(parts);
    const zeros = input.zeroFrames();
    parts.push(Buffer.alloc(zeros * MIB));
    input.skipZeroFrames(zeros);
  }
}

function make(
  changes: {
    held?: HeldMemory | { doubt: string };
    core?: Buffer;
    isChecked?: boolean;
    isHungUp?: () => boolean | undefined;
  } = {},
): { input: MemoryInput; pipe: ReturnType<typeof pipeOf>; core: Buffer } {
  const made = makeProcess();
  const core = changes.core ?? made.core;
  const pipe = pipeOf(core);
  const input = new MemoryInput({
    pipe,
    native: { ...makeTestNative(), isHungUp: changes.isHungUp ?? ((): boolean => false) },
    clock: systemClock,
    memory: Promise.resolve(changes.held ?? made.held),
    segments: () => (pipe.taken() >= HEAD ? made.segments : undefined),
    isChecked: changes.isChecked ?? false,
  });
  return { input, pipe, core };
}

describe("a core from memory", () => {
  it("is what the kernel would have written, and leaves the pipe alone", async () => {
    const { input, pipe, core } = make();
    expect((await readAll(input)).equals(core)).toBe(true);
    expect(pipe.taken()).toBeLessThan(MIB);
    expect(input.reason).toBeUndefined();
    expect(input.memoryBytes).toBe(core.length - pipe.taken());
    expect(input.leftInPipe).toBe(core.length - pipe.taken());
    expect(input.countedBytes).toBeLessThan(9 * MIB);
  });

  it("is the pipe's where the memory cannot be had", async () => {
    const { input, core } = make({ held: { doubt: "a reason" } });
    expect((await readAll(input)).equals(core)).toBe(true);
    expect([input.reason, input.memoryBytes]).toEqual(["a reason", 0]);
  });

  it.each([1, 2, 3, 6, 9])("is the pipe's from where the kernel has ended: after %d looks", async (looks) => {
    let left = looks;
    const { input, core } = make({ isHungUp: () => (left -= 1) < 0 });
    expect((await readAll(input)).equals(core)).toBe(true);
    expect(input.reason).toMatch(/the kernel/);
  });

  it("of which the kernel wrote less is an error, not a whole core", async () => {
    let left = 12;
    const { core } = makeProcess();
    const { input } = make({ core: core.subarray(0, 4 * MIB), isHungUp: () => (left -= 1) < 0 });
    await expect(readAll(input)).rejects.toThrow(/stopped writing at/);
  });

  it("of a process that was killed is the pipe's", async () => {
    const { held } = makeProcess();
    const { input, core } = make({ held: { ...held, wasKilled: () => true } });
    expect((await readAll(input)).equals(core)).toBe(true);
    expect(input.reason).toBe("it was killed");
  });

  it("whose mappings are others is the pipe's", async () => {
    const { held } = makeProcess();
    const { input, core } = make({ held: { ...held, mappings: held.mappings.slice(1) } });
    expect((await readAll(input)).equals(core)).toBe(true);
    expect(input.reason).toBe("its core and its mappings differ");
  });

  it("is held against the pipe where that is asked for", async () => {
    const same = make({ isChecked: true });
    await readAll(same.input);
    expect(same.input.problems).toEqual([]);
    const { core } = makeProcess();
    core[20 * MIB] = 7 ^ (core[20 * MIB] ?? 0);
    const other = make({ core, isChecked: true });
    await readAll(other.input);
    expect(other.input.problems).toEqual([
      { step: "take", code: "CDH_TAKE_DIFFERS", detail: expect.stringMatching(/differ near byte/) },
    ]);
  });
});
