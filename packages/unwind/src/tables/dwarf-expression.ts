import { DwarfReader, UnwindDataError } from "./dwarf-reader.ts";
import type { ReadMemory } from "./memory.ts";

const STACK_MAX = 64;
/** Unwind expressions have a handful of steps and no loops. */
const STEPS_MAX = 1000;

/** What an expression may look at. */
export interface ExpressionContext {
  register(number: number): bigint;
  read: ReadMemory;
  /** Bytes of an address on the machine. */
  wordBytes: 4 | 8;
}

/**
 * Compute a DWARF expression of an unwind table, as signal frames and procedure linkage tables have them. Branches are not
 * followed: no compiler writes them there.
 * @throws {UnwindDataError} on what is not known, not there, or endless
 * @see DWARF 5, 2.5 DWARF Expressions
 */
export async function evaluateExpression(
  bytes: Uint8Array,
  context: ExpressionContext,
  start?: bigint,
): Promise<bigint> {
  const reader = new DwarfReader(bytes, 0n, context.wordBytes);
  const bits = context.wordBytes * 8;
  const stack: bigint[] = start === undefined ? [] : [start];
  const push = (value: bigint): void => {
    if (stack.length >= STACK_MAX) throw new UnwindDataError("an expression's stack is full");
    stack.push(BigInt.asUintN(bits, value));
  };
  const pop = (): bigint => {
    const value = stack.pop();
    if (value === undefined) throw new UnwindDataError("an expression's stack is empty");
    return value;
  };
  for (let steps = 0; reader.left > 0; steps += 1) {
    if (steps >= STEPS_MAX) throw new UnwindDataError("an expression without end");
    const code = reader.u8();
    if (code >= 0x30 && code <= 0x4f) push(BigInt(code - 0x30));
    else if (code >= 0x70 && code <= 0x8f) push(context.register(code - 0x70) + reader.sleb());
    else if (code === 0x03) push(reader.word());
    else if (code === 0x92) push(context.register(reader.count()) + reader.sleb());
    else if (code === 0x06) push(await load(context.read, pop(), context.wordBytes));
    else if (code === 0x94) push(await load(context.read, pop(), sizeOf(reader.u8())));
    else if (CONSTANTS[code] !== undefined) push(CONSTANTS[code](reader));
    else if (code === 0x12) {
      const top = pop();
      push(top);
      push(top);
    } else if (code === 0x13) pop();
    else if (code === 0x16) {
      const [right, left] = [pop(), pop()];
      push(right);
      push(left);
    } else if (code === 0x23) push(pop() + reader.uleb());
    else if (code === 0x1f) push(-pop());
    else if (code === 0x20) push(~pop());
    else if (OPERATORS[code] !== undefined) {
      const right = pop();
      push(OPERATORS[code](pop(), right));
    } else if (code !== 0x96) throw new UnwindDataError(`operation 0x${code.toString(16)}`);
  }
  return pop();
}

const CONSTANTS: Record<number, (reader: DwarfReader) => bigint> = {
  0x08: (reader) => reader.unsigned(1),
  0x09: (reader) => reader.signed(1),
  0x0a: (reader) => reader.unsigned(2),
  0x0b: (reader) => reader.signed(2),
  0x0c: (reader) => reader.unsigned(4),
  0x0d: (reader) => reader.signed(4),
  0x0e: (reader) => reader.unsigned(8),
  0x0f: (reader) => reader.signed(8),
  0x10: (reader) => reader.uleb(),
  0x11: (reader) => reader.sleb(),
};

const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const truth = (value: boolean): bigint => (value ? 1n : 0n);
/** Shifting by more than a word gives zero, and must not make a number of a billion bits. */
const shift = (by: bigint): bigint => (by > 64n ? 64n : by);

const OPERATORS: Record<number, (left: bigint, right: bigint) => bigint> = {
  0x1a: (left, right) => left & right,
  0x1c: (left, right) => left - right,
  0x1e: (left, right) => left * right,
  0x21: (left, right) => left | right,
  0x22: (left, right) => left + right,
  0x24: (left, right) => left << shift(right),
  0x25: (left, right) => left >> shift(right),
  0x26: (left, right) => signed(left) >> shift(right),
  0x27: (left, right) => left ^ right,
  0x29: (left, right) => truth(left === right),
  0x2a: (left, right) => truth(signed(left) >= signed(right)),
  0x2b: (left, right) => truth(signed(left) > signed(right)),
  0x2c: (left, right) => truth(signed(left) <= signed(right)),
  0x2d: (left, right) => truth(signed(left) < signed(right)),
  0x2e: (left, right) => truth(left !== right),
};

function sizeOf(bytes: number): 1 | 2 | 4 | 8 {
  if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8) throw new UnwindDataError(`a value of ${bytes} bytes`);
  return bytes;
}

async function load(read: ReadMemory, address: bigint, bytes: 1 | 2 | 4 | 8): Promise<bigint> {
  const found = await read(address, bytes);
  if (found === undefined || found.length < bytes) throw new UnwindDataError("memory that the core does not hold");
  return new DwarfReader(found).unsigned(bytes);
}
