import type { CoreFacts, CoreThread } from "@cdh/core/elf/facts";
import { frameRowAt, type FrameRow } from "./cfa-program.ts";
import { evaluateExpression } from "./dwarf-expression.ts";
import { UnwindDataError } from "./dwarf-reader.ts";
import type { FrameDescription } from "./eh-frame.ts";
import { cleanAddress, MACHINES, type Machine } from "./machines.ts";
import { readInterrupted } from "./signal-frame.ts";

/** Read memory of the process; undefined where the core has nothing. */
export type ReadMemory = (address: bigint, length: number) => Promise<Uint8Array | undefined>;

/** One step of a stack. */
export interface Frame {
  /** Program counter: where the thread was, or where a call will return to. */
  pc: bigint;
  /** True where the call is the instruction before `pc`: not for the first frame, nor for what a signal interrupted. */
  isReturn: boolean;
  /** True for what a signal's handler returns to: the next frame is what the signal interrupted. */
  isSignal?: true;
  /**
   * True where only arm64's link register tells of this frame. A function that has called others may have left it behind
   * in that register; then this is the innermost function once more, where it was a call ago.
   */
  isByLink?: true;
}

/** What walking a stack needs to know of the process. */
export interface UnwindContext {
  machine: CoreFacts["machine"];
  read: ReadMemory;
  /** Read instructions, from the core or their module's file. */
  readCode: ReadMemory;
  /** Tells whether an address can be a return address. */
  isCode(address: bigint): boolean;
  /**
   * Find how the code at an address keeps its caller, and that address in the terms of its module's file.
   * @throws {UnwindDataError} when the module's tables are damaged
   */
  describe(address: bigint): Promise<{ description: FrameDescription; vaddr: bigint } | undefined>;
}

/** A stack, and how its first caller was found. */
export interface WalkedStack {
  frames: Frame[];
  firstStep: "table" | "framePointer" | undefined;
}

/** Deeper stacks are recursion, which the first frames show as well. */
const FRAMES_MAX = 256;
/** A frame larger than this is a wild pointer. */
const FRAME_MAX_BYTES = 64n * 1024n * 1024n;

interface State extends Frame {
  registers: Map<number, bigint>;
  /** The frame lies above this: a stack grows downwards. */
  floor: bigint;
}

/**
 * Walk a thread's stack on x86-64 and arm64: by the unwind tables of its modules, and by frame pointers where there is no
 * table. The walk ends where neither tells on.
 * @see System V ABI AMD64, 3.2.2; AAPCS64, 6.2.3
 */
export async function walkStack(thread: CoreThread, context: UnwindContext): Promise<WalkedStack> {
  const frames: Frame[] = [{ pc: thread.pc, isReturn: false }];
  const machine = MACHINES[context.machine?.name ?? ""];
  if (machine === undefined) return { frames, firstStep: undefined };
  let state: State = { pc: thread.pc, isReturn: false, registers: registersOf(thread, machine), floor: thread.sp };
  let firstStep: WalkedStack["firstStep"];
  while (frames.length < FRAMES_MAX) {
    const step = await stepToCaller(state, machine, context);
    if (step === undefined) break;
    firstStep ??= step.how;
    if (step.isSignal) Object.assign(frames.at(-1) ?? {}, { isSignal: true });
    state = step.state;
    const { pc, isReturn, isByLink } = state;
    frames.push({ pc, isReturn, ...(isByLink === undefined ? {} : { isByLink }) });
  }
  return { frames, firstStep };
}

interface Step {
  state: State;
  how: "table" | "framePointer";
  isSignal: boolean;
}

async function stepToCaller(state: State, machine: Machine, context: UnwindContext): Promise<Step | undefined> {
  const before = await readInterrupted(state.pc, state.registers, machine, context.read, context.readCode);
  if (before !== undefined) {
    const floor = before.registers.get(machine.sp) ?? 0n;
    return { state: { ...before, isReturn: false, floor }, how: "table", isSignal: true };
  }
  const byTable = await stepByTable(state, machine, context);
  if (byTable === "end") return undefined;
  if (byTable !== undefined) return { state: byTable, how: "table", isSignal: !byTable.isReturn };
  const byFramePointer = await stepByFramePointer(state, machine, context);
  return byFramePointer === undefined ? undefined : { state: byFramePointer, how: "framePointer", isSignal: false };
}

function registersOf(thread: CoreThread, machine: Machine): Map<number, bigint> {
  const registers = new Map<number, bigint>();
  for (const [number, name] of machine.names.entries()) {
    const value = thread.registers?.[name];
    if (value !== undefined) registers.set(number, value);
  }
  registers.set(machine.sp, thread.sp);
  if (thread.fp !== undefined) registers.set(machine.fp, thread.fp);
  return registers;
}

/** Go to the caller by the module's tables: `end` where they say there is none, undefined where they do not tell. */
async function stepByTable(state: State, machine: Machine, context: UnwindContext): Promise<State | "end" | undefined> {
  try {
    const found = await context.describe(state.isReturn ? state.pc - 1n : state.pc);
    if (found === undefined) return undefined;
    const { description, vaddr } = found;
    const row = frameRowAt(description, vaddr);
    if (row.registers.get(description.returnRegister)?.kind === "undefined") return "end";
    const frame = await frameAddress(row, state, machine, context);
    // Only a signal may have changed to another stack.
    if (!description.isSignal && (frame < state.floor || frame - state.floor > FRAME_MAX_BYTES)) return undefined;
    const registers = await callerRegisters(row, frame, state, machine, context);
    if (!row.registers.has(machine.sp)) registers.set(machine.sp, frame);
    const back = registers.get(description.returnRegister);
    const pc = back === undefined ? undefined : cleanAddress(back, machine);
    if (pc === undefined || !context.isCode(pc)) return undefined;
    if (pc === state.pc && frame === state.floor) return "end";
    // What called has its own return address elsewhere.
    if (machine.link !== undefined && !description.isSignal) registers.delete(machine.link);
    return { pc, isReturn: !description.isSignal, registers, floor: registers.get(machine.sp) ?? frame };
  } catch (error) {
    if (error instanceof UnwindDataError) return undefined;
    throw error;
  }
}

async function frameAddress(
  { frame }: FrameRow,
  state: State,
  machine: Machine,
  context: UnwindContext,
): Promise<bigint> {
  if (frame === undefined) throw new UnwindDataError("no rule for the frame's address");
  if (frame.kind === "expression") return evaluateExpression(frame.bytes, expressionContext(state, machine, context));
  return BigInt.asUintN(64, registerOf(state, frame.register) + frame.offset);
}

async function callerRegisters(
  row: FrameRow,
  frame: bigint,
  state: State,
  machine: Machine,
  context: UnwindContext,
): Promise<Map<number, bigint>> {
  const registers = new Map(state.registers);
  for (const [number, rule] of row.registers) {
    let value: bigint | undefined;
    if (rule.kind === "offset") {
      const address = BigInt.asUintN(64, frame + rule.offset);
      value = rule.isValue ? address : await readWord(context.read, address);
    } else if (rule.kind === "expression") {
      const address = await evaluateExpression(rule.bytes, expressionContext(state, machine, context), frame);
      value = rule.isValue ? address : await readWord(context.read, address);
    } else if (rule.kind === "register") value = state.registers.get(rule.register);
    else if (rule.kind === "same") continue;
    if (value === undefined) registers.delete(number);
    else registers.set(number, value);
  }
  return registers;
}

function expressionContext(
  state: State,
  machine: Machine,
  context: UnwindContext,
): Parameters<typeof evaluateExpression>[1] {
  return {
    read: context.read,
    register: (number) =>
      number === machine.pc && !state.registers.has(number) ? state.pc : registerOf(state, number),
  };
}

function registerOf(state: State, number: number): bigint {
  const value = state.registers.get(number);
  if (value === undefined) throw new UnwindDataError(`register ${number} is not known`);
  return value;
}

/**
 * Go to the caller by the frame pointer: at it lie the caller's frame pointer and the return address. On arm64 a function
 * that calls no other may have its return address only in the link register.
 */
async function stepByFramePointer(state: State, machine: Machine, context: UnwindContext): Promise<State | undefined> {
  const { registers, floor } = state;
  const caller = await callerByFramePointer(registers.get(machine.fp), floor, machine, context);
  const link = machine.link === undefined || state.isReturn ? undefined : registers.get(machine.link);
  const pc = link === undefined ? undefined : cleanAddress(link, machine);
  if (pc === undefined || pc === caller?.pc || !context.isCode(pc)) return caller;
  const known = new Map(registers);
  if (machine.link !== undefined) known.delete(machine.link);
  // A function may have moved the stack pointer; a jump to nowhere has not.
  if (context.isCode(state.pc)) known.delete(machine.sp);
  return { pc, isReturn: true, registers: known, floor, isByLink: true };
}

async function callerByFramePointer(
  fp: bigint | undefined,
  floor: bigint,
  machine: Machine,
  { read, isCode }: UnwindContext,
): Promise<State | undefined> {
  if (fp === undefined || fp % 8n !== 0n || fp + machine.fpBelowSp < floor || fp - floor > FRAME_MAX_BYTES)
    return undefined;
  const next = await readWord(read, fp);
  const back = await readWord(read, fp + 8n);
  const pc = back === undefined ? undefined : cleanAddress(back, machine);
  if (next === undefined || pc === undefined || !isCode(pc)) return undefined;
  // Nothing else is known of a caller that was found without a table.
  const known = new Map<number, bigint>();
  if (machine.fpTellsSp) known.set(machine.sp, fp + 16n);
  if (next > fp) known.set(machine.fp, next);
  return { pc, isReturn: true, registers: known, floor: fp + 16n };
}

async function readWord(read: ReadMemory, address: bigint): Promise<bigint | undefined> {
  const bytes = await read(address, 8);
  if (bytes === undefined || bytes.length < 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
