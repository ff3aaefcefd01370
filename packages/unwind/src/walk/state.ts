import type { CoreMachine, CoreThread } from "@cdh/core/elf/facts";
import type { FrameDescription } from "../tables/frame-records.ts";
import type { ReadMemory } from "../tables/memory.ts";
import type { Machine } from "./machines.ts";

/** What told of a frame: a table, the frame pointers, arm64's link register, or the stack's top after a call to nowhere. */
export type Trust = "table" | "framePointer" | "link" | "top";

/** One step of a stack. */
export interface Frame {
  /** Program counter: where the thread was, or where a call will return to. */
  pc: bigint;
  /** True where the call is the instruction before `pc`: not for the first frame, nor for what a signal interrupted. */
  isReturn: boolean;
  /** True for what a signal's handler returns to: the next frame is what the signal interrupted. */
  isSignal?: true;
  /** Left out for the innermost frame, which the registers tell. */
  trust?: Trust;
}

/** Why a stack ends where it does. */
export type StackEnd =
  /** Nothing called the last frame. */
  | { kind: "outermost" }
  /** Nothing tells how the code at the address keeps its caller. */
  | { kind: "noTable"; address: bigint }
  /** Where a return address should be is a number that is no address of code. */
  | { kind: "notCode"; value: bigint }
  /** The core does not hold the stack at the address. */
  | { kind: "noMemory"; address: bigint }
  /** The frame before would come once more. */
  | { kind: "loop" }
  /** More frames than are walked. */
  | { kind: "limit" }
  /** Stacks of this machine are not walked, or its registers are not read. */
  | { kind: "machine" };

/** What Go's linker says of the code at an address. */
export interface GoCode {
  name: string;
  /** Bits of `FuncFlag`. */
  flag: number;
  /** Bytes on the stack at this instruction; undefined where it has no table. */
  frameBytes: number | undefined;
  /** 22 of Go 1.22; undefined where the file does not tell. */
  minor: number | undefined;
}

/** What walking a stack needs to know of the process. */
export interface WalkContext {
  machine: CoreMachine | undefined;
  read: ReadMemory;
  /** Read instructions, from the core or their module's file. */
  readCode: ReadMemory;
  /** Tells whether an address is one of code. */
  isCode(address: bigint): Promise<boolean>;
  /** Tells whether an address is one of code that was made at run time: in no module. */
  isMadeCode?(address: bigint): Promise<boolean>;
  /**
   * Find how the code at an address keeps its caller, and that address in the terms of its module's file.
   * @throws {UnwindDataError} when the module's tables are damaged
   */
  describe(address: bigint): Promise<{ description: FrameDescription; vaddr: bigint } | undefined>;
  /** Find what Go says of the code at an address; undefined where it is not Go's. */
  findGo?(address: bigint): Promise<GoCode | undefined>;
  /** Find where the function at an address starts, by its symbol; undefined where it has none. */
  functionStart?(address: bigint): Promise<bigint | undefined>;
}

/** A frame with the registers as they were in it. */
export interface State extends Frame {
  registers: Map<number, bigint>;
  /** The caller's frame lies above this: a stack grows downwards. Undefined where the stack was changed. */
  floor: bigint | undefined;
}

/** What everybody who steps to a caller gets. */
export interface StepInput {
  state: State;
  machine: Machine;
  context: WalkContext;
  thread: CoreThread;
}

/** The caller, or why there is none; undefined where another way has to be tried. */
export type StepResult = State | { end: StackEnd } | undefined;

/** A frame larger than this is a wild pointer, in bytes. */
export const FRAME_MAX_BYTES = 64n * 1024n * 1024n;

/** The address whose function a frame is in: a call that never returns may be the last instruction of its function. */
export function lookupAddress(frame: Pick<Frame, "pc" | "isReturn">): bigint {
  return frame.isReturn && frame.pc > 0n ? frame.pc - 1n : frame.pc;
}

/** Tell why a value is no caller: nothing called a function whose return address is 0. */
export function notCode(value: bigint): { end: StackEnd } {
  return { end: value === 0n ? { kind: "outermost" } : { kind: "notCode", value } };
}
