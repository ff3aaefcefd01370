import { describe, expect, it } from "vitest";
import type { CoreThread } from "@cdh/core/elf/facts";
import { machineOf } from "./machines.ts";
import type { State, StepInput, WalkContext } from "./state.ts";
import { callerByFramePointer } from "./step-by-frame-pointer.ts";

const MACHINE = { name: "x64", elfMachine: 62, bits: 64, endian: "little" } as const;
const CODE = 0x5000n;
const MADE = 0x9000n;
const STACK = 0x7000_0000n;

/** A stack of words from STACK on, code at CODE, and code that was made at run time at MADE. No call stands before any address. */
function inputOf(words: readonly bigint[], options: { isMade: boolean }): StepInput {
  const read = async (address: bigint, length: number): Promise<Uint8Array | undefined> => {
    const at = Number(address - STACK) / 8;
    const word = words[at];
    if (word === undefined || length !== 8) return undefined;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, word, true);
    return bytes;
  };
  const isCode = async (address: bigint): Promise<boolean> =>
    [CODE, MADE].some((start) => address - start < 0x100n && address >= start);
  const context: WalkContext = {
    machine: MACHINE,
    read,
    readCode: async (_, length) => new Uint8Array(length),
    isCode,
    ...(options.isMade ? { isMadeCode: async (address) => address >= MADE && (await isCode(address)) } : {}),
    describe: async () => undefined,
  };
  const machine = machineOf(MACHINE);
  if (machine === undefined) throw new Error("x86-64 is walked");
  const state: State = {
    pc: MADE,
    isReturn: false,
    registers: new Map([
      [machine.fp, STACK],
      [machine.sp, STACK],
    ]),
    floor: STACK,
  };
  return { state, machine, context, thread: {} as CoreThread };
}

describe("a return address behind no call", () => {
  const chain = [STACK + 16n, MADE + 8n, STACK + 32n, CODE + 8n];

  it("is believed of code made at run time, when the frame above is code's too", async () => {
    expect(await callerByFramePointer(inputOf(chain, { isMade: true }))).toMatchObject({
      pc: MADE + 8n,
      trust: "framePointer",
    });
  });

  it.each<[what: string, words: bigint[], isMade: boolean]>([
    ["of a module's code", [STACK + 16n, CODE + 8n, STACK + 32n, CODE + 8n], true],
    ["where nobody knows what was made at run time", chain, false],
    ["when the frame above has no address of code", [STACK + 16n, MADE + 8n, STACK + 32n, 0x1234n], true],
    ["when the frame above lies below", [STACK - 16n, MADE + 8n, STACK + 32n, CODE + 8n], true],
    ["when it is the last that can be read", [STACK + 16n, MADE + 8n], true],
  ])("is not believed %s", async (_, words, isMade) => {
    expect(await callerByFramePointer(inputOf(words, { isMade }))).toBeUndefined();
  });
});
