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

/** A list in order, and how much of it was taken. */
export interface Run<T> {
  dumps: readonly T[];
  at: number;
}

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
  const heap = runs.filter(({ dumps, at }) => at < dumps.length);
  const isBefore = (a: Run<T> | undefined, b: Run<T> | undefined): boolean => {
    const [one, other] = [a?.dumps[a.at], b?.dumps[b.at]];
    return one !== undefined && other !== undefined && order(one, other) < 0;
  };
  const sink = (from: number): void => {
    for (let at = from; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (isBefore(heap[child], heap[least])) least = child;
      const [here, there] = [heap[at], heap[least]];
      if (least === at || here === undefined || there === undefined) return;
      heap[at] = there;
      heap[least] = here;
      at = least;
    }
  };
  for (let at = (heap.length >> 1) - 1; at >= 0; at -= 1) sink(at);
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    const next = top.dumps[top.at];
    if (next === undefined || next.crashedAt < since) return;
    yield next;
    top.at += 1;
    if (top.at >= top.dumps.length) {
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return;
      if (last !== top) heap[0] = last;
    }
    sink(0);
  }
}
