import type * as fc from "fast-check";
import { CdhError } from "@cdh/core/errors";

/** Something that reads what others write, and what has to hold of it for every input. */
export interface Target<Recipe = unknown, Input = unknown> {
  /** As `--target` takes it. */
  readonly name: string;
  /** What is read, in a few words, for `--list`. */
  readonly what: string;
  /** Small descriptions of inputs. They are what is minimised: a list of two million elements is a word and a number. */
  readonly recipes: fc.Arbitrary<Recipe>;
  /** Write the input that a recipe describes. Neither its time nor its memory counts. */
  build(recipe: Recipe): Input | Promise<Input>;
  /** Read the input. @throws whatever is a finding */
  run(input: Input): void | Promise<void>;
  /** Give the input as bytes, to be kept with a finding. */
  bytesOf?(input: Input): Uint8Array;
  /** Processor time that one input may take, in ms; default {@link CPU_MAX_MS}. */
  readonly cpuMaxMs?: number;
  /** Resident memory that one input may add, in bytes; default {@link MEMORY_MAX_BYTES}. */
  readonly memoryMaxBytes?: number;
  /** Why it cannot run here; undefined when it can. */
  unavailable?(): string | undefined;
}

/** Processor time of one input, in ms. Time on a busy machine says little, processor time does. */
export const CPU_MAX_MS = 3000;

/** With the uploader's own 60 MiB this stays within the 256 MiB that the chart gives it. */
export const MEMORY_MAX_BYTES = 190 * 1024 * 1024;

/** Keep the types of one target together, and forget them: the list holds many kinds. */
export function defineTarget<Recipe, Input>(target: Target<Recipe, Input>): Target {
  return target as unknown as Target;
}

/** Run a reader that may refuse its input, but only with an error of ours. @returns undefined when it refused */
export async function orRefused<Result>(read: () => Result | Promise<Result>): Promise<Result | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CdhError) return undefined;
    throw error;
  }
}

/** Fail with a finding. */
export function must(holds: boolean, why: string): asserts holds {
  if (!holds) throw new Error(why);
}

/** Anything that moves a cursor, colours, hides or reorders text on a terminal; `\n` ends our own lines. */
// eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

/** Fail when a text could steer the terminal that it is shown on. */
export function mustBePrintable(text: string, what: string): void {
  const found = UNPRINTABLE.exec(text);
  must(found === null, `${what} holds U+${found?.[0].codePointAt(0)?.toString(16)} at ${found?.index}`);
}
