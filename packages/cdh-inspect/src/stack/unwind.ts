import type { CoreFacts, CoreThread } from "@cdh/core/elf/facts";
import { frameRowAt, type FrameRow } from "./cfa-program.ts";
import { evaluateExpression } from "./dwarf-expression.ts";
import { UnwindDataError } from "./dwarf-reader.ts";
import type { FrameDescription } from "./eh-frame.ts";

/** Read memory of the process; undefined where the core has nothing. */
export type ReadMemory = (address: bigint, length: number) => Promise<Uint8Array | undefined>;

/** One step of a stack. */
export interface Frame {
  /** Program counter: where the thread was, or where a call will return to. */
  pc: bigint;
  /** True where the call is the instruction before `pc`: not for the first frame, nor for what a signal interrupted. */
  isReturn: boolean;
}

/** What walking a stack needs to know of the process. */
export interface UnwindContext {
  machine: CoreFacts["machine"];
  read: ReadMemory;
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
/** arm64 signs return addresses in the bits above the 48 of an address. */
const ARM64_ADDRESS_MASK = 0xffff_ffff_ffffn;

interface Machine {
  isArm: boolean;
  sp: number;
  fp: number;
  /** Register that holds the return address until it is saved. */
  link: number | undefined;
  /** The kernel's names of DWARF's registers, in DWARF's order. */
  names: readonly string[];
}

/** @see System V ABI AMD64, 3.6.2; DWARF for the Arm 64-bit Architecture, 4.1 */
const MACHINES: Partial<Record<string, Machine>> = {
  x64: {
    isArm: false,
    sp: 7,
    fp: 6,
    link: undefined,
    names: "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split(" "),
  },
  arm64: {
    isArm: true,
    sp: 31,
    fp: 29,
    link: 30,
    names: [...Array.from({ length: 31 }, (_, index) => `x${index}`), "sp"],
  },
};

interface State {
  pc: bigint;
  isReturn: boolean;
  registers: Map<number, bigint>;
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
  let state: State = { pc: thread.pc, isReturn: false, registers: registersOf(thread, machine) };
  let firstStep: WalkedStack["firstStep"];
  while (frames.length < FRAMES_MAX) {
    const byTable = await stepByTable(state, machine, context);
    if (byTable === "end") break;
    const steps =
      byTable === undefined ? await stepByFramePointer(state, machine, context, frames.length === 1) : [byTable];
    const last = steps.at(-1);
    if (last === undefined) break;
    firstStep ??= byTable === undefined ? "framePointer" : "table";
    for (const { pc, isReturn } of steps) frames.push({ pc, isReturn });
    state = last;
  }
  return { frames, firstStep };
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
    const frame = await frameAddress(row, state, context);
    const sp = state.registers.get(machine.sp) ?? 0n;
    // A stack grows downwards; only a signal may have changed to another one.
    if (!description.isSignal && (frame < sp || frame - sp > FRAME_MAX_BYTES)) return undefined;
    const registers = await callerRegisters(row, frame, state, context);
    if (!row.registers.has(machine.sp)) registers.set(machine.sp, frame);
    const back = registers.get(description.returnRegister);
    const pc = back === undefined ? undefined : clean(back, machine);
    if (pc === undefined || !context.isCode(pc)) return undefined;
    if (pc === state.pc && frame === sp) return "end";
    return { pc, isReturn: !description.isSignal, registers };
  } catch (error) {
    if (error instanceof UnwindDataError) return undefined;
    throw error;
  }
}

async function frameAddress({ frame }: FrameRow, state: State, context: UnwindContext): Promise<bigint> {
  if (frame === undefined) throw new UnwindDataError("no rule for the frame's address");
  if (frame.kind === "expression") return evaluateExpression(frame.bytes, expressionContext(state, context));
  return BigInt.asUintN(64, registerOf(state, frame.register) + frame.offset);
}

async function callerRegisters(
  row: FrameRow,
  frame: bigint,
  state: State,
  context: UnwindContext,
): Promise<Map<number, bigint>> {
  const registers = new Map(state.registers);
  for (const [number, rule] of row.registers) {
    let value: bigint | undefined;
    if (rule.kind === "offset") {
      const address = BigInt.asUintN(64, frame + rule.offset);
      value = rule.isValue ? address : await readWord(context.read, address);
    } else if (rule.kind === "expression") {
      const address = await evaluateExpression(rule.bytes, expressionContext(state, context), frame);
      value = rule.isValue ? address : await readWord(context.read, address);
    } else if (rule.kind === "register") value = state.registers.get(rule.register);
    else if (rule.kind === "same") continue;
    if (value === undefined) registers.delete(number);
    else registers.set(number, value);
  }
  return registers;
}

function expressionContext(state: State, context: UnwindContext): Parameters<typeof evaluateExpression>[1] {
  return {
    read: context.read,
    // The program counter has a number of its own on x86-64.
    register: (number) => (number === 16 && !state.registers.has(16) ? state.pc : registerOf(state, number)),
  };
}

function registerOf(state: State, number: number): bigint {
  const value = state.registers.get(number);
  if (value === undefined) throw new UnwindDataError(`register ${number} is not known`);
  return value;
}

/**
 * Go to the caller by the frame pointer: at it lie the caller's frame pointer and the return address. On arm64 the first
 * step may give two frames, because a leaf function has its return address only in the link register.
 */
async function stepByFramePointer(
  { registers }: State,
  machine: Machine,
  context: UnwindContext,
  isFirst: boolean,
): Promise<State[]> {
  const fp = registers.get(machine.fp);
  const sp = registers.get(machine.sp) ?? 0n;
  if (fp === undefined || fp % 8n !== 0n || fp < sp || fp - sp > FRAME_MAX_BYTES) return [];
  const next = await readWord(context.read, fp);
  const back = await readWord(context.read, fp + 8n);
  const pc = back === undefined ? undefined : clean(back, machine);
  if (next === undefined || pc === undefined || !context.isCode(pc)) return [];
  // Nothing else is known of a caller that was found without a table.
  const known = new Map([[machine.sp, fp + 16n]]);
  if (next > fp) known.set(machine.fp, next);
  const caller: State = { pc, isReturn: true, registers: known };
  const link = machine.link === undefined || !isFirst ? undefined : registers.get(machine.link);
  const leaf = link === undefined ? undefined : clean(link, machine);
  return leaf !== undefined && leaf !== pc && context.isCode(leaf)
    ? [{ pc: leaf, isReturn: true, registers }, caller]
    : [caller];
}

function clean(address: bigint, machine: Machine): bigint {
  return machine.isArm ? address & ARM64_ADDRESS_MASK : address;
}

async function readWord(read: ReadMemory, address: bigint): Promise<bigint | undefined> {
  const bytes = await read(address, 8);
  if (bytes === undefined || bytes.length < 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
