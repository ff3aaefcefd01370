import { frameRowAt, type FrameRow } from "../tables/cfa-program.ts";
import { evaluateExpression } from "../tables/dwarf-expression.ts";
import { UnwindDataError } from "../tables/dwarf-reader.ts";
import { readWord } from "../tables/memory.ts";
import { cleanAddress } from "./machines.ts";
import { FRAME_MAX_BYTES, lookupAddress, notCode, type State, type StepInput, type StepResult } from "./state.ts";

/** Go to the caller by the module's tables; undefined where they do not tell. */
export async function stepByTable(input: StepInput): Promise<StepResult> {
  const { state, machine, context } = input;
  try {
    const found = await context.describe(lookupAddress(state));
    if (found === undefined) return undefined;
    const { description, vaddr } = found;
    const row = frameRowAt(description, vaddr);
    if (row.registers.get(description.returnRegister)?.kind === "undefined") return { end: { kind: "outermost" } };
    const frame = await frameAddress(row, input);
    const { floor } = state;
    // Only a signal may have changed to another stack.
    if (!description.isSignal && floor !== undefined && (frame < floor || frame - floor > FRAME_MAX_BYTES))
      return undefined;
    const { registers, missing } = await callerRegisters(row, frame, input);
    if (!row.registers.has(machine.sp)) registers.set(machine.sp, frame);
    const back = registers.get(description.returnRegister);
    if (back === undefined) {
      const address = missing.get(description.returnRegister);
      return address === undefined ? undefined : { end: { kind: "noMemory", address } };
    }
    const pc = cleanAddress(back, machine);
    if (!(await context.isCode(pc))) return description.isSignal ? interrupted(pc, registers, input) : notCode(pc);
    if (pc === state.pc && frame === floor) return { end: { kind: "loop" } };
    // What called has its own return address elsewhere.
    if (machine.link !== undefined && !description.isSignal) registers.delete(machine.link);
    return {
      pc,
      isReturn: !description.isSignal,
      trust: "table",
      registers,
      floor: registers.get(machine.sp) ?? frame,
    };
  } catch (error) {
    if (error instanceof UnwindDataError) return undefined;
    throw error;
  }
}

/** A signal may interrupt a thread that had jumped to nowhere. */
function interrupted(pc: bigint, registers: Map<number, bigint>, { machine }: StepInput): State {
  return { pc, isReturn: false, trust: "table", registers, floor: registers.get(machine.sp) };
}

async function frameAddress({ frame }: FrameRow, input: StepInput): Promise<bigint> {
  if (frame === undefined) throw new UnwindDataError("no rule for the frame's address");
  if (frame.kind === "expression") return evaluateExpression(frame.bytes, expressionContext(input));
  return BigInt.asUintN(input.machine.wordBytes * 8, registerOf(input.state, frame.register) + frame.offset);
}

async function callerRegisters(
  row: FrameRow,
  frame: bigint,
  input: StepInput,
): Promise<{ registers: Map<number, bigint>; missing: Map<number, bigint> }> {
  const {
    state,
    context,
    machine: { wordBytes },
  } = input;
  const registers = new Map(state.registers);
  /** Addresses that should hold a register's value and are not in the core. */
  const missing = new Map<number, bigint>();
  for (const [number, rule] of row.registers) {
    let value: bigint | undefined;
    if (rule.kind === "offset" || rule.kind === "expression") {
      const address =
        rule.kind === "offset"
          ? BigInt.asUintN(wordBytes * 8, frame + rule.offset)
          : await evaluateExpression(rule.bytes, expressionContext(input), frame);
      value = rule.isValue ? address : await readWord(context.read, address, wordBytes);
      if (value === undefined) missing.set(number, address);
    } else if (rule.kind === "register") value = state.registers.get(rule.register);
    else if (rule.kind === "same") continue;
    if (value === undefined) registers.delete(number);
    else registers.set(number, value);
  }
  return { registers, missing };
}

function expressionContext({ state, machine, context }: StepInput): Parameters<typeof evaluateExpression>[1] {
  return {
    read: context.read,
    wordBytes: machine.wordBytes,
    register: (number) =>
      number === machine.pc && !state.registers.has(number) ? state.pc : registerOf(state, number),
  };
}

function registerOf(state: State, number: number): bigint {
  const value = state.registers.get(number);
  if (value === undefined) throw new UnwindDataError(`register ${number} is not known`);
  return value;
}
