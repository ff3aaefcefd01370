import * as fc from "fast-check";
import { PYTHON_LAYOUTS } from "../../../packages/unwind/src/python/layouts.ts";
import { PythonFrames } from "../../../packages/unwind/src/python/read-frames.ts";
import { defineTarget, must } from "../target.ts";

const BASE = 0x7f00_0000_0000n;
const SLOT_BYTES = 512;
const SLOTS = 24;
/** A compact ASCII text of three letters; a length; a flag; something large. */
const WORDS = [0n, 1n, 3n, 0xe4n, 0x80n, 0x7fff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn] as const;

/** Words of one object: where in it, and the number of another object that it leads to, or a number. */
const object = fc.array(fc.tuple(fc.nat(SLOT_BYTES / 8 - 1), fc.oneof(fc.nat(SLOTS - 1), fc.constantFrom(...WORDS))), {
  maxLength: 30,
});

/** Memory of an interpreter whose lists lead in circles or never end, and whose objects are none. */
export const pythonTarget = defineTarget({
  name: "python",
  what: "the frames of an interpreter whose memory lies: lists in circles and without end, texts and tables of any length",
  recipes: fc.record({
    minor: fc.constantFrom(11, 12),
    objects: fc.array(object, { minLength: SLOTS, maxLength: SLOTS }),
    /** Each address shows an object, however many there are. */
    isEndless: fc.boolean(),
    /** Fields of threads and frames lead on, so that something is found. */
    isPlausible: fc.boolean(),
    step: fc.integer({ min: 1, max: 7 }),
  }),
  cpuMaxMs: 20_000,
  build: (recipe) => recipe,
  run: async ({ minor, objects, isEndless, isPlausible, step }) => {
    const layout = PYTHON_LAYOUTS.get(minor);
    must(layout !== undefined, "no layout");
    const addressOf = (index: number): bigint => BASE + BigInt(index * SLOT_BYTES);
    const slot = (index: number): Buffer => {
      const bytes = Buffer.alloc(SLOT_BYTES);
      for (const [at, value] of objects[index % SLOTS] ?? [])
        bytes.writeBigUint64LE(typeof value === "bigint" ? value : addressOf(value), at * 8);
      if (!isPlausible) return bytes;
      // One shape serves as thread, frame, code and text: what is not overwritten leads to the next object.
      const next = addressOf(isEndless ? index + step : (index + step) % SLOTS);
      for (const field of [layout.previous, layout.nextThread, layout.fileName, layout.qualifiedName, layout.lineTable])
        bytes.writeBigUint64LE(next, field);
      bytes.writeBigUint64LE(BigInt(index), layout.nativeId);
      return bytes;
    };
    const read = async (address: bigint, length: number): Promise<Uint8Array | undefined> => {
      const index = Number((address - BASE) / BigInt(SLOT_BYTES));
      if (address < BASE || !Number.isSafeInteger(index) || (!isEndless && index >= SLOTS)) return undefined;
      const within = Number((address - BASE) % BigInt(SLOT_BYTES));
      return slot(index).subarray(within, within + length);
    };
    const reader = new PythonFrames({ minor, layout, address: BASE }, read);
    const threads = await reader.threads();
    must(threads.size <= 100_000, `${threads.size} threads`);
    for (const state of [...threads.values()].slice(0, 16)) {
      const { calls } = await reader.stack(state);
      must(calls.flat().length <= 10_000, "more frames than are read");
      for (const { function: name, line } of calls.flat())
        must(name.length <= 8192 && (line === undefined || line > 0), `${name.length} letters, line ${line}`);
    }
  },
});
