import type { CoreThread } from "@cdh/core/elf/facts";
import { machineOf, type Machine } from "./machines.ts";
import { Recursion } from "./pass-recursion.ts";
import { readInterrupted } from "./signal-frame.ts";
import type { Frame, StackEnd, State, StepInput, WalkContext } from "./state.ts";
import { stepByFramePointer, stepFromNowhere } from "./step-by-frame-pointer.ts";
import { stepByTable } from "./step-by-table.ts";
import { stepInGo } from "./step-in-go.ts";

/** A stack, from the innermost frame on. */
export interface WalkedStack {
  frames: Frame[];
  /** Frames that were walked and are not listed, and before which of the listed ones they come. */
  leftOut?: { before: number; count: number };
  end: StackEnd;
}

/** Bounds of one stack. */
export interface WalkLimits {
  /** Frames listed at most. */
  frames: number;
  /** So many of them at the outer end, where a recursion began. */
  outermost: number;
  /** Frames walked at most; the middle of a recursion is passed over and does not count. */
  steps: number;
}

/** What is no recursion at equal distances is walked frame by frame: a stack of 8 MiB has up to half a million of them. */
export const DEFAULT_WALK_LIMITS: WalkLimits = { frames: 256, outermost: 32, steps: 600_000 };

/**
 * Walk a thread's stack on x86-64, i386 and arm64: by the unwind tables of its modules, by what Go writes for its own, and
 * by frame pointers where there is no table. The walk ends where nothing tells on, and says why.
 * @param thread `isReturn` says that it is not where its `pc` is but in a call before it, as a goroutine that does not run
 */
export async function walkStack(
  thread: CoreThread & { isReturn?: boolean },
  context: WalkContext,
  limits: WalkLimits = DEFAULT_WALK_LIMITS,
): Promise<WalkedStack> {
  if (thread.pc === undefined) return { frames: [], end: { kind: "machine" } };
  const machine = machineOf(context.machine);
  const list = new FrameList(limits);
  const { isReturn: isCall = false } = thread;
  list.add({ pc: thread.pc, isReturn: isCall });
  if (machine === undefined || thread.sp === undefined) return list.finish({ kind: "machine" });
  const registers = registersOf(thread, machine);
  let state: State = { pc: thread.pc, isReturn: isCall, registers, floor: thread.sp };
  let checkpoint = state;
  const recursion = new Recursion(machine, { near: Math.max(256, limits.frames), far: Math.max(64, limits.outermost) });
  for (let steps = 1; steps < limits.steps; steps += 1) {
    const step = await stepToCaller({ state, machine, context, thread });
    if ("end" in step) return list.finish(step.end);
    if (step.isSignal) list.markSignal();
    ({ state } = step);
    if (isSame(state, checkpoint, machine)) return list.finish({ kind: "loop" });
    // Brent's way to find a cycle: compare with a frame that is moved on ever more rarely.
    if ((steps & (steps - 1)) === 0) checkpoint = state;
    const { pc, isReturn, trust } = state;
    list.add({ pc, isReturn, ...(trust === undefined ? {} : { trust }) });
    const passed = await recursion.pass(state, context.read);
    if (passed === undefined) continue;
    list.pass(passed.count);
    ({ state } = passed);
  }
  return list.finish({ kind: "limit" });
}

function isSame(left: State, right: State, { sp, fp }: Machine): boolean {
  return (
    left !== right &&
    left.pc === right.pc &&
    left.registers.get(sp) === right.registers.get(sp) &&
    left.registers.get(fp) === right.registers.get(fp)
  );
}

/** Keep the first frames and the last ones. */
class FrameList {
  count = 0;
  readonly #limits: WalkLimits;
  readonly #first: Frame[] = [];
  #last: Frame[] = [];
  #latest: Frame | undefined;

  constructor(limits: WalkLimits) {
    this.#limits = limits;
  }

  add(frame: Frame): void {
    const { frames, outermost } = this.#limits;
    this.count += 1;
    this.#latest = frame;
    if (this.#first.length < frames - outermost) this.#first.push(frame);
    else {
      this.#last.push(frame);
      if (this.#last.length > 2 * outermost + 64) this.#last = this.#last.slice(-outermost);
    }
  }

  /** Count frames that nobody has seen. */
  pass(count: number): void {
    this.count += count;
  }

  markSignal(): void {
    if (this.#latest !== undefined) this.#latest.isSignal = true;
  }

  finish(end: StackEnd): WalkedStack {
    const { outermost } = this.#limits;
    const last = outermost === 0 ? [] : this.#last.slice(-outermost);
    const frames = [...this.#first, ...last];
    const count = this.count - frames.length;
    return { frames, ...(count === 0 ? {} : { leftOut: { before: this.#first.length, count } }), end };
  }
}

type Step = { state: State; isSignal: boolean } | { end: StackEnd };

async function stepToCaller(input: StepInput): Promise<Step> {
  const { state, machine, context } = input;
  const before = await readInterrupted(state.pc, state.registers, machine, context.read, context.readCode);
  if (before !== undefined) {
    const floor = before.registers.get(machine.sp) ?? 0n;
    return { state: { ...before, isReturn: false, trust: "table", floor }, isSignal: true };
  }
  for (const step of [stepInGo, stepByTable, stepFromNowhere, stepByFramePointer]) {
    const result = await step(input);
    if (result === undefined) continue;
    if ("end" in result) return result;
    // Go's interrupted functions are behind a call that its handler made, the kernel's behind a frame of its own.
    return { state: result, isSignal: step === stepByTable && !result.isReturn };
  }
  if (!state.isReturn && !(await context.isCode(state.pc))) return { end: { kind: "notCode", value: state.pc } };
  return { end: { kind: "noTable", address: state.pc } };
}

function registersOf(thread: CoreThread, machine: Machine): Map<number, bigint> {
  const registers = new Map<number, bigint>();
  for (const [number, name] of machine.names.entries()) {
    const value = thread.registers?.[name];
    if (value !== undefined) registers.set(number, value);
  }
  if (thread.sp !== undefined) registers.set(machine.sp, thread.sp);
  if (thread.fp !== undefined) registers.set(machine.fp, thread.fp);
  return registers;
}
