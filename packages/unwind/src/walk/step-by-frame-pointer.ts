import { readWord } from "../tables/memory.ts";
import { calledBefore, isAfterCall } from "./call-before.ts";
import { cleanAddress } from "./machines.ts";
import { FRAME_MAX_BYTES, type State, type StepInput, type StepResult } from "./state.ts";

/**
 * Go to the caller by the frame pointer: at it lie the caller's frame pointer and the return address. A function that was
 * not called by the last frame may have set up no frame yet, or needs none; its return address is then on top of the stack
 * (x86), or in the link register (arm64).
 * @see System V ABI AMD64, 3.2.2; AAPCS64, 6.2.3
 */
export async function stepByFramePointer(input: StepInput): Promise<StepResult> {
  const caller = await callerByFramePointer(input);
  if (input.state.isReturn) return caller;
  return input.machine.link === undefined
    ? ((await callerOfLeaf(input, caller)) ?? caller)
    : callerByLink(input, caller, input.machine.link);
}

/** Go to the function that called an address where no code is; undefined when this is another case. */
export async function stepFromNowhere({ state, machine, context }: StepInput): Promise<StepResult> {
  if (machine.link !== undefined || state.isReturn || (await context.isCode(state.pc))) return undefined;
  const sp = state.registers.get(machine.sp);
  const pc = sp === undefined ? undefined : await readWord(context.read, sp, machine.wordBytes);
  // The call has just pushed its return address.
  if (sp === undefined || pc === undefined || !(await context.isCode(pc))) return undefined;
  if ((await isAfterCall(pc, context.readCode)) === false) return undefined;
  const above = sp + BigInt(machine.wordBytes);
  return { pc, isReturn: true, trust: "top", registers: new Map(state.registers).set(machine.sp, above), floor: above };
}

/** Believed only when the instruction before the return address calls just this function. */
async function callerOfLeaf(
  { state, machine, context }: StepInput,
  next: State | undefined,
): Promise<State | undefined> {
  const sp = state.registers.get(machine.sp);
  const start = await context.functionStart?.(state.pc);
  if (sp === undefined || start === undefined) return undefined;
  // On top of the stack before the frame pointer is pushed, one word further after it.
  for (const words of [0n, 1n]) {
    const at = sp + words * BigInt(machine.wordBytes);
    const pc = await readWord(context.read, at, machine.wordBytes);
    if (pc === undefined || pc === next?.pc) return undefined;
    if (!(await context.isCode(pc)) || (await calledBefore(pc, context.readCode)) !== start) continue;
    const above = at + BigInt(machine.wordBytes);
    const registers = new Map<number, bigint>([[machine.sp, above]]);
    const fp = words === 0n ? state.registers.get(machine.fp) : await readWord(context.read, sp, machine.wordBytes);
    if (fp !== undefined) registers.set(machine.fp, fp);
    return { pc, isReturn: true, trust: "top", registers, floor: above };
  }
  return undefined;
}

async function callerByLink({ state, machine, context }: StepInput, caller: State | undefined, number: number) {
  const link = state.registers.get(number);
  const pc = link === undefined ? undefined : cleanAddress(link, machine);
  if (pc === undefined || pc === caller?.pc || !(await context.isCode(pc))) return caller;
  const start = await context.functionStart?.(state.pc);
  // An earlier call of the same function left it in the register.
  if (start !== undefined && start === (await context.functionStart?.(pc - 1n))) return caller;
  const registers = new Map(state.registers);
  registers.delete(number);
  // A function may have moved the stack pointer; a jump to nowhere has not.
  if (await context.isCode(state.pc)) registers.delete(machine.sp);
  return { pc, isReturn: true, trust: "link", registers, floor: state.floor } satisfies State;
}

/** Go to the caller by the frame pointer alone. */
export async function callerByFramePointer({ state, machine, context }: StepInput): Promise<State | undefined> {
  const { read, readCode } = context;
  const fp = state.registers.get(machine.fp);
  const word = BigInt(machine.wordBytes);
  if (fp === undefined || fp % word !== 0n) return undefined;
  const { floor } = state;
  if (floor !== undefined && (fp + machine.fpBelowSp < floor || fp - floor > FRAME_MAX_BYTES)) return undefined;
  const next = await readWord(read, fp, machine.wordBytes);
  const back = await readWord(read, fp + word, machine.wordBytes);
  const pc = back === undefined ? undefined : cleanAddress(back, machine);
  if (next === undefined || pc === undefined || !(await context.isCode(pc))) return undefined;
  if (
    !machine.isArm &&
    (await isAfterCall(pc, readCode)) === false &&
    !(await wasJumpedTo(pc, fp, next, { machine, context }))
  )
    return undefined;
  // Nothing else is known of a caller that was found without a table.
  const registers = new Map<number, bigint>();
  const above = fp + 2n * word;
  if (machine.fpTellsSp) registers.set(machine.sp, above);
  if (next > fp) registers.set(machine.fp, next);
  return { pc, isReturn: true, trust: "framePointer", registers, floor: above };
}

/**
 * An interpreter whose code was made at run time, such as HotSpot's, pushes return addresses itself and jumps: no call stands before them. Such
 * an address is believed when the frame above is one too.
 */
async function wasJumpedTo(
  pc: bigint,
  fp: bigint,
  next: bigint,
  { machine, context }: Pick<StepInput, "machine" | "context">,
): Promise<boolean> {
  const word = BigInt(machine.wordBytes);
  if (next <= fp || next % word !== 0n || next - fp > FRAME_MAX_BYTES) return false;
  if ((await context.isMadeCode?.(pc)) !== true) return false;
  const above = await readWord(context.read, next + word, machine.wordBytes);
  return above !== undefined && (await context.isCode(cleanAddress(above, machine)));
}
