import { WRITE_LIMITS } from "./limits.ts";
import type { ThreadFacts } from "./manifest.ts";

/** The most that all stacks take, in bytes of JSON and in elements; less where the rest of the manifest leaves less. */
const STACKS_MAX = { bytes: 768 * 1024, elements: 40_000 };
/** Left for what is added at the end: problems that tell of cuts. */
const SPARE_BYTES = 64 * 1024;
/** Levels that a stack adds to the manifest are fixed, so only these signs count. */
const ELEMENTS = /[{[,]/g;

/**
 * Give the threads of a manifest their stacks, in order, the crashed one's first, as far as there is room.
 * @param kept the threads that have room, without stacks
 * @param given the same threads, and those that have none, in the same order, with stacks
 * @param usedBytes what the rest of the manifest takes
 * @param cuts added to
 */
export function fitStacks(
  kept: readonly ThreadFacts[],
  given: readonly ThreadFacts[],
  usedBytes: number,
  cuts: string[],
): ThreadFacts[] {
  let bytes = Math.min(STACKS_MAX.bytes, WRITE_LIMITS.manifest.bytes - usedBytes - SPARE_BYTES);
  let elements = STACKS_MAX.elements;
  const stacks = new Map<number, ThreadFacts["stack"]>();
  const order = given.map((_, index) => index);
  order.sort((left, right) => Number(given[right]?.crashed === true) - Number(given[left]?.crashed === true));
  const wanted = order.filter((index) => given[index]?.stack !== undefined);
  for (const index of wanted) {
    const stack = given[index]?.stack;
    const text = JSON.stringify(stack);
    bytes -= Buffer.byteLength(text) + 10;
    elements -= (text.match(ELEMENTS)?.length ?? 0) + 1;
    if (bytes < 0 || elements < 0 || index >= kept.length) break;
    stacks.set(index, stack);
  }
  if (stacks.size < wanted.length) cuts.push(`stacks: the first ${stacks.size} of ${wanted.length}`);
  return kept.map((thread, index) => {
    const stack = stacks.get(index);
    return stack === undefined ? thread : { ...thread, stack };
  });
}
