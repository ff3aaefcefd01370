import { describe, expect, it } from "vitest";
import type { CoreFacts } from "../elf/facts.ts";
import { hardwareSigns } from "./hardware-signs.ts";

const [CODE, DATA, STACK] = [0x5555_0000_0000n, 0x7f00_0000_0000n, 0x7ffd_0010_0000n];
const segment = (vaddr: bigint, flags: number): CoreFacts["segments"][number] => ({
  vaddr,
  offset: 0,
  fileSize: 0,
  memSize: 0x10000,
  flags,
});

function signsOf(given: {
  pc?: bigint;
  sp?: bigint;
  fault?: bigint;
  code?: number;
  machine?: "x64" | "other";
}): string[] {
  const { pc = CODE + 8n, sp = STACK + 64n, fault, code = 1, machine = "x64" } = given;
  return hardwareSigns({
    isCore: true,
    receivedBytes: 1,
    complete: true,
    machine: { name: machine, elfMachine: 62, bits: 64, endian: "little" },
    signal: { number: 11, code, ...(fault === undefined ? {} : { faultAddress: fault }) },
    threads: [{ tid: 1, crashed: true, pc, sp }],
    threadCount: 1,
    mappings: [],
    fileList: "missing",
    modules: [],
    segments: [segment(CODE, 5), segment(DATA, 6), segment(STACK, 6)],
    problems: [],
  });
}

describe("hardwareSigns", () => {
  it.each([
    ["a wild read", { fault: 0x6100_1234_5678n }, []],
    ["a null pointer", { fault: 0n }, ["faultNull"]],
    ["a field of a null pointer", { fault: 0x18n }, ["faultNearNull"]],
    ["an address that no machine has", { fault: 0xdead_0000_0000_0000n }, ["faultNonCanonical"]],
    ["a general protection fault", { code: 128, fault: 0n }, ["faultWithoutAddress"]],
    ["one bit of a pointer", { fault: (DATA + 16n) ^ (1n << 33n) }, ["faultOneBit"]],
    ["an array that ends", { fault: DATA + 0x10000n }, []],
    ["a stack that is full", { fault: STACK - 8n, sp: STACK - 16n }, ["faultStackGuard"]],
    ["a jump to nowhere", { pc: 0x1234n, fault: 0x1234n }, ["pcUnmapped", "faultNearNull"]],
    ["a jump into data", { pc: DATA, fault: DATA }, ["pcNotExecutable"]],
    ["a broken stack pointer", { sp: STACK + 3n, fault: 0n }, ["spMisaligned", "faultNull"]],
    ["a stack pointer to nowhere", { sp: 0x1000n, fault: 0n }, ["spUnmapped", "faultNull"]],
    ["another machine", { machine: "other", fault: 0n }, []],
  ] as const)("%s", (_what, given, signs) => expect(signsOf(given)).toEqual(signs));
});
