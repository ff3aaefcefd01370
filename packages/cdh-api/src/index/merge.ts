import type { Position } from "./position.ts";

/** Order over all namespaces: newest first, then by name. Within a namespace it is the index's own. */
export function byAge(a: Position, b: Position): number {
  if (a.crashedAt !== b.crashedAt) return b.crashedAt - a.crashedAt;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.namespace === b.namespace ? 0 : a.namespace < b.namespace ? -1 : 1;
}

/** Find the first item for which something holds, in a list in which it holds for all that follow. */
export function firstOf<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item === undefined || holds(item)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A list in order, read one after the other. */
export type Run<T> = Iterator<T, undefined, undefined>;

/**
 * Take from lists, each of them in order, whatever is next of all: with a heap of the lists, so that a page of five hundred
 * out of a thousand namespaces does not sort everything.
 * @param since ends it: what crashed before is not given
 */
export function* merge<T extends Position>(
  runs: readonly Run<T>[],
  order: (a: T, b: T) => number,
  since = Number.NEGATIVE_INFINITY,
): Generator<T> {
  const heap: { first: T; run: Run<T> }[] = [];
  for (const run of runs) {
    const { value } = run.next();
    if (value !== undefined) heap.push({ first: value, run });
  }
  const isBefore = (a: number, b: number): boolean => {
    const [one, other] = [heap[a], heap[b]];
    return one !== undefined && other !== undefined && order(one.first, other.first) < 0;
  };
  const sink = (from: number): void => {
    for (let at = from; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (isBefore(child, least)) least = child;
      const [here, there] = [heap[at], heap[least]];
      if (least === at || here === undefined || there === undefined) return;
      heap[at] = there;
      heap[least] = here;
      at = least;
    }
  };
  for (let at = (heap.length >> 1) - 1; at >= 0; at -= 1) sink(at);
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    if (top.first.crashedAt < since) return;
    yield top.first;
    const { value } = top.run.next();
    if (value !== undefined) top.first = value;
    else {
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return;
      if (last !== top) heap[0] = last;
    }
    sink(0);
  }
}
