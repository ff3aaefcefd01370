import { readWord, type ReadMemory } from "../tables/memory.ts";
import type { Machine } from "./machines.ts";
import type { State } from "./state.ts";

/** Functions that call each other in turn. */
const PERIOD_MAX = 6;
/** More frames than any memory holds. */
const TURNS_MAX = 2 ** 40;

/** What was passed over, and the frame after it. */
interface Passed {
  state: State;
  /** Frames that are not walked. */
  count: number;
}

interface Turn {
  /** Frames in a row that lie as the one before, so many frames ago. */
  alike: number;
  spStep: bigint;
  fpStep: bigint;
}

/**
 * Passes over the middle of a recursion: a stack of a gigabyte, as Go's may be, has tens of millions of frames. Frames of a
 * recursion lie at equal distances, so that the farthest one is found by looking for its return address. On machines that
 * keep the return address right below the caller's frame, as x86 does.
 */
export class Recursion {
  readonly #machine: Machine;
  /** So many frames must be alike, and so many at the far end are walked again. */
  readonly #ends: { near: number; far: number };
  readonly #recent: { pc: bigint; sp: bigint; fp: bigint }[] = [];
  readonly #turns: Turn[] = Array.from({ length: PERIOD_MAX }, () => ({ alike: 0, spStep: 0n, fpStep: 0n }));

  constructor(machine: Machine, ends: { near: number; far: number }) {
    this.#machine = machine;
    this.#ends = ends;
  }

  /** Look at the next frame; go on to the far end where it is one of a recursion. Undefined where it is not. */
  async pass(state: State, read: ReadMemory): Promise<Passed | undefined> {
    const { sp: spNumber, fp: fpNumber } = this.#machine;
    const sp = state.registers.get(spNumber);
    if (sp === undefined) return undefined;
    this.#note({ pc: state.pc, sp, fp: state.registers.get(fpNumber) ?? 0n });
    const index = this.#turns.findIndex(({ alike }) => alike >= this.#ends.near);
    const turn = this.#turns[index];
    if (turn === undefined) return undefined;
    for (const one of this.#turns) one.alike = 0;
    if (turn.spStep <= 0n || (turn.fpStep !== 0n && turn.fpStep !== turn.spStep)) return undefined;
    const turns = (await this.#countTurns(state.pc, sp, turn.spStep, read)) - this.#ends.far;
    if (turns * (index + 1) < this.#ends.near) return undefined;
    const by = BigInt(turns);
    const registers = new Map(state.registers);
    registers.set(spNumber, sp + by * turn.spStep);
    const fp = registers.get(fpNumber);
    if (fp !== undefined) registers.set(fpNumber, fp + by * turn.fpStep);
    const floor = state.floor === undefined ? undefined : state.floor + by * turn.spStep;
    return { state: { ...state, registers, floor }, count: turns * (index + 1) };
  }

  #note(frame: { pc: bigint; sp: bigint; fp: bigint }): void {
    for (const [index, turn] of this.#turns.entries()) {
      const before = this.#recent[index];
      if (before?.pc !== frame.pc) {
        turn.alike = 0;
        continue;
      }
      const [spStep, fpStep] = [frame.sp - before.sp, frame.fp - before.fp];
      turn.alike = spStep === turn.spStep && fpStep === turn.fpStep ? turn.alike + 1 : 1;
      turn.spStep = spStep;
      turn.fpStep = fpStep;
    }
    this.#recent.unshift(frame);
    this.#recent.length = Math.min(this.#recent.length, PERIOD_MAX);
  }

  /** Find how often the same return address follows at the same distance. */
  async #countTurns(pc: bigint, sp: bigint, step: bigint, read: ReadMemory): Promise<number> {
    const { wordBytes } = this.#machine;
    const slot = sp - BigInt(wordBytes);
    const holds = async (turns: number): Promise<boolean> =>
      (await readWord(read, slot + BigInt(turns) * step, wordBytes)) === pc;
    if (!(await holds(0))) return 0;
    let [low, high] = [0, 1];
    while (high < TURNS_MAX && (await holds(high))) [low, high] = [high, high * 2];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (await holds(middle)) low = middle;
      else high = middle;
    }
    return low;
  }
}
