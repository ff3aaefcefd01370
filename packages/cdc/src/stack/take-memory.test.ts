import { closeSync, openSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { HeldProcess } from "./held-process.ts";
import { parseMaps } from "./maps.ts";
import { takeMemory } from "./take-memory.ts";

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
