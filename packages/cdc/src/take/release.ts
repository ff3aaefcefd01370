import { soon } from "@cdh/core/async/soon";
import type { Work } from "../request.ts";
import type { Learning } from "../who/learn.ts";
import type { TakenCore } from "./take-core.ts";

/** How long a crashed process is held for the runtime's record of its container to be read; that takes milliseconds. */
const RECORD_WAIT_MS = 1_000;

/**
 * Let the crashed process go. The kernel keeps /proc/<pid> only until the last reader of the pipe closes, and the runtime
 * removes its record of the container as soon as that has ended: first learn, then let go.
 * @param placing settles when registers and stack have told where it crashed
 * @returns milliseconds that the process was held
 */
export async function release(
  given: Pick<Work, "crash" | "input" | "clock" | "onRelease" | "memory" | "startedAt" | "stacks">,
  learning: Pick<Learning, "process" | "place">,
  taken: Pick<TakenCore, "processRead" | "finishFacts" | "taking">,
  placing: Promise<unknown>,
): Promise<number> {
  const { crash, input, clock, onRelease, memory, startedAt, stacks } = given;
  const crashed = await learning.process;
  await placing;
  await soon(learning.place(), RECORD_WAIT_MS, clock);
  await taken.processRead();
  await stacks?.take(taken.finishFacts(), crashed);
  // It is held until the pipe is closed: its pid is nobody else's.
  if (taken.taking.killed === true && crash.pid !== undefined) tryKill(crash.pid);
  await input.close();
  onRelease?.();
  memory.start();
  return Math.round(clock.monotonic() - startedAt);
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has gone by itself.
  }
}
