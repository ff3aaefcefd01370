import { closeSync, openSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { HeldProcess } from "./held-process.ts";
import { parseMaps } from "./maps.ts";
import { interruptedStacks, takeMemory } from "./take-memory.ts";

const KIB = 1024n;

it.runIf(process.platform === "linux")("a thread's stack is taken whose pointer is in its guard page", async () => {
  const mappings = parseMaps(readFileSync("/proc/self/maps"));
  const lines = readFileSync("/proc/self/maps", "latin1").split("\n");
  // The stacks of Node's own threads: a page or more that nobody may read, and the stack right behind it.
  const guard = lines.flatMap((line, index) => {
    const [, start, end] = /^([\da-f]+)-([\da-f]+) ---p 00000000 00:00 0 *$/.exec(line) ?? [];
    const isBeforeStack = end !== undefined && lines[index + 1]?.startsWith(`${end}-`) === true;
    const isWritable = / rw-p 00000000 00:00 0 *$/.test(lines[index + 1] ?? "");
    return isBeforeStack && isWritable ? [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) }] : [];
  })[0];
  if (guard === undefined) throw new Error("this process has threads");
  const mem = openSync("/proc/self/mem", "r");
  try {
    const held = { mem, mappings } as HeldProcess;
    const thread = { tid: 1, crashed: true, sp: guard.end - 2n * KIB };
    const facts = { threads: [thread], machine: undefined, auxv: undefined };
    const { chunks } = await takeMemory(held, facts as never, AbortSignal.timeout(30_000));
    expect(chunks.map(({ address }) => address)).toEqual([guard.end]);
    expect(chunks[0]?.bytes.length).toBeGreaterThan(4096);
  } finally {
    closeSync(mem);
  }
});

describe("what a signal's handler interrupted on another stack", () => {
  const BASE = 0x7000_0000n;
  it.each([
    ["x64", 8, 18, 19],
    ["arm64", 8, 52, 53],
    ["x86", 4, 10, 17],
  ] as const)("is found in the kernel's frame of %s", (machine, wordBytes, sp, pc) => {
    const bytes = Buffer.alloc(1024);
    const put = (index: number, value: bigint): void => {
      if (wordBytes === 8) bytes.writeBigUInt64LE(value, 64 + index * 8);
      else bytes.writeUInt32LE(Number(value), 64 + index * 4);
    };
    put(0, BASE);
    put(2, 8192n);
    put(sp, 0x6000_0000n);
    put(pc, 0x5000n);
    expect(interruptedStacks({ address: BASE, bytes }, machine)).toEqual([{ sp: 0x6000_0000n, pc: 0x5000n }]);
    // A pointer into the same stack is no change of stacks.
    put(sp, BASE + 16n);
    expect(interruptedStacks({ address: BASE, bytes }, machine)).toEqual([]);
  });
});
