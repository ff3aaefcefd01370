import type { FrameFacts, Manifest, ThreadFacts } from "../bundle/manifest.ts";
import { frameFunction } from "./function-words.ts";

/** Functions of a stack in a line: so many of the innermost, and of the outermost ones. */
const SHOWN = { first: 6, last: 2 };

/** Threads that stood at the same place, called the same way. */
export interface ThreadGroup {
  /** In the order of the manifest. */
  threads: ThreadFacts[];
  crashed: boolean;
  /** `epoll_wait ← loop ← start_thread`, the innermost first. Not printable yet; `-` where the node read no stack. */
  stack: string;
}

/**
 * Group threads whose stacks name the same functions, the crashed one's first, then the largest.
 * @returns nothing where no thread has a stack
 */
export function groupThreads({ threads = [], modules }: Pick<Manifest, "threads" | "modules">): ThreadGroup[] {
  const groups = new Map<string, ThreadGroup>();
  for (const thread of threads) {
    const words = (thread.stack?.frames ?? []).map((frame) => frameWords(frame, modules));
    const stack = lineOf(words, thread.stack?.leftOut?.count ?? 0);
    // Stacks that are longer than a line are compared whole.
    const key = words.join("\n");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { threads: [thread], crashed: thread.crashed === true, stack });
    else {
      group.threads.push(thread);
      group.crashed ||= thread.crashed === true;
    }
  }
  if (groups.size === 1 && groups.has("")) return [];
  return [...groups.values()].toSorted(
    (left, right) => Number(right.crashed) - Number(left.crashed) || right.threads.length - left.threads.length,
  );
}

/** Name a group as its threads are named: `worker-0` where all are, else `worker-0 …`; empty where none has a name. */
export function groupName({ threads }: ThreadGroup): string {
  const [first] = threads;
  const name = first?.name ?? "";
  return threads.every((thread) => (thread.name ?? "") === name) ? name : `${name} …`.trim();
}

function frameWords(frame: FrameFacts, modules: Manifest["modules"]): string {
  if (frame.signal === true) return "<signal>";
  const name = frameFunction(frame);
  if (name !== undefined) return name;
  const path = frame.module === undefined ? undefined : modules?.[frame.module]?.path;
  return path === undefined ? frame.pc : `${path.slice(path.lastIndexOf("/") + 1)}+${frame.offset ?? "?"}`;
}

function lineOf(words: readonly string[], leftOut: number): string {
  if (words.length === 0) return "-";
  const hidden = words.length - SHOWN.first - SHOWN.last;
  if (hidden <= 1) return words.join(" ← ");
  const count = (hidden + leftOut).toLocaleString("en-US");
  return [...words.slice(0, SHOWN.first), `… ${count} more`, ...words.slice(-SHOWN.last)].join(" ← ");
}
