import { describe, expect, it } from "vitest";
import type { CoreThread } from "@cdh/core/elf/facts";
import { SeededRandom } from "@cdh/core/testing/random";
import { UnwindDataError } from "../tables/dwarf-reader.ts";
import { searchFrameHeader, type FrameHeader } from "../tables/frame-header.ts";
import type { FrameDescription, FrameSection } from "../tables/frame-records.ts";
import type { WalkContext } from "./state.ts";
import { walkStack, type WalkedStack } from "./walk-stack.ts";

/** Where the tables lie, in the file's terms. */
const HEADER = 0x1000n;
/** Where the file is loaded, and the stack of the thread. */
const LOADED = 0x5500_0000_0000n;
const STACK = 0x7ffd_0000_0000n;

interface Code {
  start: number;
  end: number;
  instructions: number[];
}

const u32 = (value: number): number[] => [0, 8, 16, 24].map((by) => (value >>> by) & 0xff);
const record = (body: number[]): number[] => {
  const padded = [...body, ...Array.from({ length: (8 - ((body.length + 4) % 8)) % 8 }, () => 0)];
  return [...u32(padded.length), ...padded];
};

/** Write .eh_frame_hdr and .eh_frame as a linker does: `zR`, addresses relative to themselves. */
function makeTables(cie: { augmentation: string; returnRegister: number; initial: number[] }, codes: Code[]): Buffer {
  const headerBytes = 12 + 8 * codes.length;
  const frames: number[] = record([
    0,
    0,
    0,
    0,
    1,
    ...Buffer.from(`${cie.augmentation}\0`),
    // Code in bytes, data in steps of -8; FDE pointers are pcrel|sdata4.
    1,
    0x78,
    cie.returnRegister,
    1,
    0x1b,
    ...cie.initial,
  ]);
  const rows = codes.map(({ start, end, instructions }) => {
    const at = headerBytes + frames.length;
    const here = Number(HEADER) + at + 8;
    frames.push(
      ...record([...u32(at + 4 - headerBytes), ...u32(start - here), ...u32(end - start), 0, ...instructions]),
    );
    return [...u32(start - Number(HEADER)), ...u32(at)];
  });
  return Buffer.from([1, 0x1b, 3, 0x3b, ...u32(headerBytes - 4), ...u32(codes.length), ...rows.flat(), ...frames]);
}

function imageOf(tables: Buffer): { section: FrameSection; header: FrameHeader } {
  const section: FrameSection = {
    kind: "eh",
    vaddr: 0n,
    wordBytes: 8,
    bases: {},
    read: async (vaddr, length) => {
      const at = Number(vaddr - HEADER);
      return at < 0 || at > tables.length ? undefined : tables.subarray(at, at + length);
    },
  };
  return { section, header: { vaddr: HEADER, sizeBytes: tables.length } };
}

async function findFrameDescription(
  { section, header }: ReturnType<typeof imageOf>,
  vaddr: bigint,
): Promise<FrameDescription | undefined> {
  const found = await searchFrameHeader(section, header, vaddr);
  return found === "noTable" ? undefined : found.description;
}

/** A process with one module, a stack of words, and instructions where the test puts them. */
function processWith(
  tables: Buffer,
  words: bigint[],
  machine: "x64" | "arm64" = "x64",
  code: ReadonlyMap<bigint, string> = new Map(),
): WalkContext {
  const stack = Buffer.alloc(words.length * 8);
  for (const [index, word] of words.entries()) stack.writeBigUInt64LE(BigInt.asUintN(64, word), index * 8);
  const image = imageOf(tables);
  return {
    machine: { name: machine, elfMachine: 0, bits: 64, endian: "little" },
    read: async (address, length) => {
      const at = Number(address - STACK);
      return at < 0 || at >= stack.length ? undefined : stack.subarray(at, at + length);
    },
    readCode: async (address) => {
      const hex = code.get(address);
      return hex === undefined ? undefined : Buffer.from(hex, "hex");
    },
    isCode: async (address) => address >= LOADED && address < LOADED + 0x10000n,
    describe: async (address) => {
      const vaddr = address - LOADED;
      const description = await findFrameDescription(image, vaddr);
      return description === undefined ? undefined : { description, vaddr };
    },
  };
}

const at = (vaddr: number): bigint => LOADED + BigInt(vaddr);
const pcs = ({ frames }: WalkedStack): bigint[] => frames.map(({ pc }) => pc);
/** rsp+8, return address at cfa-8. */
const X64 = { augmentation: "zR", returnRegister: 16, initial: [0x0c, 7, 8, 0x90, 1] };

describe("walkStack by tables", () => {
  // push %rbx at +1, sub $0x10 at +5; taken back for +0x20 to +0x24.
  const worker = {
    start: 0x4000,
    end: 0x4040,
    instructions: [0x41, 0x0e, 16, 0x83, 2, 0x44, 0x0e, 32, 0x0a, 0x5b, 0x0e, 8, 0x44, 0x0b],
  };
  const leaf = { start: 0x4100, end: 0x4110, instructions: [] };
  const main = { start: 0x4200, end: 0x4300, instructions: [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6] };
  const start = { start: 0x4400, end: 0x4500, instructions: [0x07, 16] };
  const tables = makeTables(X64, [worker, leaf, main, start]);

  it("needs no frame pointers on x86-64, and stops where the tables say so", async () => {
    // leaf ← worker (32 bytes: two locals, rbx) ← main (by rbp) ← start
    const words = [at(0x4010), 1n, 2n, 0xbbn, at(0x4210), 7n, STACK + 0x100n, at(0x4410), 0n];
    const thread = { tid: 1, crashed: true, pc: at(0x4105), sp: STACK, fp: STACK + 48n };
    const walked = await walkStack(thread, processWith(tables, words));
    expect(pcs(walked)).toEqual([at(0x4105), at(0x4010), at(0x4210), at(0x4410)]);
    expect(walked.frames.slice(1).map(({ trust }) => trust)).toEqual(["table", "table", "table"]);
    expect(walked.end).toEqual({ kind: "outermost" });
  });

  it("passes over the middle of a recursion, whatever its depth, and shows both ends", async () => {
    // A function of 32 bytes calls itself; then main and start.
    const deep = 60_000;
    const turn = [1n, 2n, 0xbbn, at(0x4010)];
    const words = Array.from({ length: deep }, () => turn).flat();
    words.push(1n, 2n, 0xbbn, at(0x4210), 7n, 8n, at(0x4410), 0n);
    const rbp = STACK + BigInt(words.length - 3) * 8n;
    let reads = 0;
    const context = processWith(tables, words);
    const counted = {
      ...context,
      read: (address: bigint, length: number) => {
        reads += 1;
        return context.read(address, length);
      },
    };
    const thread = { tid: 1, crashed: true, pc: at(0x4010), sp: STACK, fp: rbp };
    const walked = await walkStack(thread, counted, { frames: 256, outermost: 32, steps: 2000 });
    expect(walked.end).toEqual({ kind: "outermost" });
    expect(pcs(walked).slice(-3)).toEqual([at(0x4010), at(0x4210), at(0x4410)]);
    expect(walked.frames.length + (walked.leftOut?.count ?? 0)).toBe(deep + 3);
    expect(reads).toBeLessThan(10_000);
  });

  it.each([
    [0x4000, 0],
    [0x4001, 1],
    [0x4005, 3],
    [0x401f, 3],
    [0x4020, 0],
    [0x4024, 3],
  ])("takes the row that holds at %i", async (pc, depth) => {
    const words = [...Array.from({ length: depth }, () => 9n), at(0x4410), 0n];
    const walked = await walkStack({ tid: 1, crashed: true, pc: at(pc), sp: STACK }, processWith(tables, words));
    expect(pcs(walked)).toEqual([at(pc), at(0x4410)]);
  });

  it("goes on with frame pointers where there is no table", async () => {
    const words = [STACK + 16n, at(0x5000), 0n, at(0x4410)];
    const thread = { tid: 1, crashed: true, pc: at(0x6000), sp: STACK, fp: STACK };
    const walked = await walkStack(thread, processWith(tables, words));
    expect(pcs(walked)).toEqual([at(0x6000), at(0x5000), at(0x4410)]);
    expect(walked.frames[1]?.trust).toBe("framePointer");
  });

  it("passes a signal's frame, whose caller was interrupted and did not call", async () => {
    // The kernel's frame: where rsp and rip are is told by expressions, as the C library writes them.
    const ucontext = [0x77, 0x10, 0x06];
    const trampoline = {
      start: 0x4fff,
      end: 0x5010,
      instructions: [0x0f, 3, ...ucontext, 0x10, 7, 2, 0x77, 0x10, 0x10, 16, 2, 0x77, 0x18],
    };
    const signal = makeTables({ ...X64, augmentation: "zRS" }, [start, trampoline]);
    const words = [0n, 0n, STACK + 0x40n, at(0x4400), 5n, 6n, 7n, 8n, 9n];
    const thread = { tid: 1, crashed: true, pc: at(0x5000), sp: STACK };
    const { frames } = await walkStack(thread, processWith(signal, words));
    // 0x4400 is the first instruction of its function: looked up one before, it would be in none.
    expect(frames).toEqual([
      { pc: at(0x5000), isReturn: false, isSignal: true },
      { pc: at(0x4400), isReturn: false, trust: "table" },
    ]);
  });

  it("reads arm64's link register and takes the signature off addresses", async () => {
    const arm = { augmentation: "zR", returnRegister: 30, initial: [0x0c, 31, 0] };
    const outer = { start: 0x4200, end: 0x4300, instructions: [0x2d, 0x44, 0x0e, 32, 0x9d, 4, 0x9e, 3] };
    const end = { start: 0x4400, end: 0x4500, instructions: [0x07, 30] };
    const armTables = makeTables(arm, [{ start: 0x4100, end: 0x4110, instructions: [] }, outer, end]);
    const signed = at(0x4420) | (0x5an << 56n);
    const thread = {
      tid: 1,
      crashed: true,
      pc: at(0x4104),
      sp: STACK,
      fp: STACK,
      registers: { x30: at(0x4210) | (0x77n << 56n), x29: STACK },
    };
    const walked = await walkStack(thread, processWith(armTables, [STACK + 32n, signed, 0n, 0n], "arm64"));
    expect(pcs(walked)).toEqual([at(0x4104), at(0x4210), at(0x4420)]);
  });

  describe("on arm64", () => {
    const initial = { augmentation: "zR", returnRegister: 30, initial: [0x0c, 31, 0] };
    // stp x29, x30, [sp, #-32]! at +4.
    const framed = { start: 0x4200, end: 0x4300, instructions: [0x44, 0x0e, 32, 0x9d, 4, 0x9e, 3] };
    const end = { start: 0x4400, end: 0x4500, instructions: [0x07, 30] };
    const armTables = makeTables(initial, [framed, end]);
    const threadAt = (vaddr: number, registers: Record<string, bigint> = {}): CoreThread => ({
      tid: 1,
      crashed: true,
      pc: at(vaddr),
      sp: STACK,
      fp: STACK,
      registers,
    });

    it("goes past a signal's frame, which no table describes", async () => {
      const trampoline = at(0x6000);
      const code = new Map([[trampoline, "681180d2010000d4"]]);
      const words = Array.from({ length: 640 }, () => 0n);
      // The handler's record of 32 bytes, the kernel's frame, and above it the record of what was interrupted.
      const base = 4;
      const above = base + 4688 / 8;
      words.splice(0, 2, STACK + BigInt(above * 8), trampoline);
      const saved = base + (128 + 176 + 8) / 8;
      words[saved + 29] = STACK + 0x10000n;
      words[saved + 30] = at(0x4410);
      words[saved + 31] = STACK + BigInt((above + 2) * 8);
      words[saved + 32] = at(0x4200);
      words.splice(above, 2, STACK + 0x10000n, at(0x4410));
      for (const handler of [0x4210, 0x6100]) {
        const { frames } = await walkStack(threadAt(handler), processWith(armTables, words, "arm64", code));
        expect(frames).toEqual([
          { pc: at(handler), isReturn: false },
          { pc: trampoline, isReturn: true, isSignal: true, trust: handler === 0x4210 ? "table" : "framePointer" },
          // Its first instruction: what it returns to is in the link register that the kernel saved.
          { pc: at(0x4200), isReturn: false, trust: "table" },
          { pc: at(0x4410), isReturn: true, trust: "table" },
        ]);
      }
      // Another frame than the record says is none: the walk goes on with the record.
      words[saved + 29] = 1n;
      const { frames } = await walkStack(threadAt(0x4210), processWith(armTables, words, "arm64", code));
      expect(frames.map(({ pc }) => pc)).toEqual([at(0x4210), trampoline, at(0x4410)]);
    });

    it("follows Go's frame pointers, a word below the stack pointer", async () => {
      const words = [0n, 0n, STACK + 32n, at(0x6200), STACK + 48n, at(0x6300), 0n, at(0x4410)];
      const thread = { ...threadAt(0x6100), sp: STACK + 24n, fp: STACK + 16n };
      expect(pcs(await walkStack(thread, processWith(armTables, words, "arm64")))).toEqual(
        [0x6100, 0x6200, 0x6300, 0x4410].map(at),
      );
    });

    it("takes no stack pointer from a frame pointer: records lie at the bottom of a frame, or at its top", async () => {
      // The innermost function has no table; its caller has one that starts from sp.
      const words = [STACK + 64n, at(0x4210), 0n, 0n, 0n, at(0x6666), 0n, 0n, 0n, at(0x4410)];
      const thread = threadAt(0x6100, { x30: at(0x4210) });
      expect(pcs(await walkStack(thread, processWith(armTables, words, "arm64")))).toEqual(
        [0x6100, 0x4210, 0x4410].map(at),
      );
    });

    it("marks what only the link register tells", async () => {
      const words = [STACK + 16n, at(0x6200), 0n, at(0x4410)];
      const { frames } = await walkStack(threadAt(0x6100, { x30: at(0x6150) }), processWith(armTables, words, "arm64"));
      expect(frames).toEqual([
        { pc: at(0x6100), isReturn: false },
        { pc: at(0x6150), isReturn: true, trust: "link" },
        { pc: at(0x6200), isReturn: true, trust: "framePointer" },
        { pc: at(0x4410), isReturn: true, trust: "framePointer" },
      ]);
    });

    it("comes back from a jump to nowhere by the link register, and goes on by tables", async () => {
      const thread = { ...threadAt(0, { x30: at(0x4210) }), pc: 0n, fp: 0n };
      const words = [0n, at(0x4410), 0n, 0n, 0n];
      expect(pcs(await walkStack(thread, processWith(armTables, words, "arm64")))).toEqual([
        0n,
        at(0x4210),
        at(0x4410),
      ]);
    });
  });

  it("ends where the stack makes no sense", async () => {
    for (const words of [[], [0n], [at(0x20000)], [at(0x4105)]]) {
      const walked = await walkStack({ tid: 1, crashed: true, pc: at(0x4105), sp: STACK }, processWith(tables, words));
      expect(walked.frames.length).toBeLessThanOrEqual(2);
    }
  });

  it("is bounded and quiet whatever the tables say", async () => {
    const random = new SeededRandom(0x5eed);
    const words = Array.from({ length: 64 }, (_, index) => at(0x4000 + 0x40 * (index % 24)));
    const rounds = Number(process.env["CDH_FUZZ_ROUNDS"] ?? 4000);
    let known = 0;
    for (let round = 0; round < rounds; round += 1) {
      const damaged = Buffer.from(tables);
      for (let changes = 1 + random.integer(8); changes > 0; changes -= 1)
        damaged[random.integer(damaged.length)] = random.integer(256);
      const pc = at(0x4000 + random.integer(0x500));
      const walked = await walkStack(
        { tid: 1, crashed: true, pc, sp: STACK, fp: STACK + 8n },
        processWith(damaged, words),
      );
      expect(walked.frames.length).toBeLessThanOrEqual(260);
      if (walked.frames[1]?.trust === "table") known += 1;
      const found = await findFrameDescription(imageOf(damaged), pc - LOADED).catch((error: unknown) => error);
      if (found instanceof Error) expect(found).toBeInstanceOf(UnwindDataError);
    }
    // Else nothing but refusals was tried.
    expect(known).toBeGreaterThan(rounds / 20);
  }, 120_000);
});
