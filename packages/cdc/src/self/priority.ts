import { readdirSync } from "node:fs";
import { setPriority } from "node:os";

/** Whoever else works on the node comes first, once nobody waits for us. @see nice(2) */
const NICENESS = 10;

/**
 * Lower the priority of this process with all its threads: on Linux each thread has one of its own, and compressors and
 * hash were started before.
 */
export function stepBack(): void {
  for (const thread of ownThreads()) {
    try {
      setPriority(thread, NICENESS);
    } catch {
      // It has ended, or a sandbox refuses; the core comes first.
    }
  }
}

function ownThreads(): number[] {
  try {
    return readdirSync("/proc/self/task").map(Number);
  } catch {
    return [0];
  }
}
