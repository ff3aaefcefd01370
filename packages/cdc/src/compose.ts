import { randomUUID } from "node:crypto";
import { findPlace } from "./decide/find-place.ts";
import { handOn } from "./decide/hand-on.ts";
import { leaveNoteLater } from "./keep/leave-note.ts";
import { openLater } from "./keep/open-later.ts";
import type { ComposeRequest, Outcome, Work } from "./request.ts";
import { boundMemory } from "./self/memory-bound.ts";
import { TimeLimit } from "./self/time-limit.ts";
import { enlargePipe } from "./take/enlarge-pipe.ts";
import { release } from "./take/release.ts";
import { takeCore, type Beside } from "./take/take-core.ts";
import { learn } from "./who/learn.ts";

/** What the notes of a core say. */
type Notes = Parameters<Beside["onNotes"]>[0];

/**
 * Keep one crash: drain the core, learn beside it who crashed, publish the bundle.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK when not even a shortened bundle could be written
 */
export async function compose(request: ComposeRequest): Promise<Outcome> {
  const { crash, settings, coreDir, clock, native, input } = request;
  const ends = new DisposableStack();
  const limit = new TimeLimit(settings.timeoutMs, coreDir, clock, native);
  ends.defer(() => limit.end());
  const startedAt = clock.monotonic();
  const crashedAtMs = crash.timestamp === undefined ? clock.now() : crash.timestamp * 1000;
  const memory = boundMemory({ maxBytes: settings.memoryMax, coreDir, message: settings.message, clock });
  ends.defer(() => memory.end());
  ends.defer(() => void input.close());
  ends.defer(() => request.stacks?.end());
  try {
    return await limit.enforce(
      keep({ ...request, crashId: randomUUID(), crashedAtMs, startedAt, limit, memory, ends }),
    );
  } finally {
    ends.dispose();
  }
}

/**
 * The stages of a crash. Learning, opening and judging go on beside the drain, for as long as the kernel holds the crashed
 * process; what is slow comes after its release.
 */
async function keep(work: Work): Promise<Outcome> {
  enlargePipe(work);
  const learning = learn(work);
  const handedOn = await handOn(work, learning);
  if (handedOn.outcome !== undefined) return handedOn.outcome;
  const pressing = pressingSoon(work);
  const opening = openLater(work, learning, pressing.promise);
  const judging = pressing.promise.then(async () =>
    (await import("./decide/verdict.ts")).judge(work, learning, opening),
  );
  const notes = Promise.withResolvers<Notes>();
  const placing = findPlace(work, learning, notes.promise);
  const sparing = pressing.promise.then(async () =>
    (await import("./decide/spare.ts")).spare(work, { learning, judging, placing }),
  );
  const beside = {
    learning,
    opening,
    judging,
    placing,
    sparing,
    onNotes: notes.resolve,
    onPressing: pressing.resolve,
  };
  const cancelNote = leaveNoteLater(work, beside);
  const taken = await takeCore(work, beside);
  const drainMs = await release(work, learning, taken, placing);
  pressing.resolve();
  const verdict = await judging;
  if (verdict.skip !== undefined) {
    await work.limit.watch(cancelNote());
    const { dismiss } = await import("./keep/dismiss.ts");
    return await dismiss(work, verdict.skip, opening, { learning, taken, sparing });
  }
  const spared = await sparing;
  const bundle = await opening;
  const { finish } = await import("./keep/finish.ts");
  const finished = await finish(work, {
    learning,
    bundle,
    taken,
    drainMs,
    verdict,
    spared,
    chainProblems: handedOn.problems,
  });
  await work.limit.watch(cancelNote());
  const { publish } = await import("./keep/publish.ts");
  const outcome = await publish(work, bundle, finished);
  const { settleSpared } = await import("./decide/spare.ts");
  await work.limit.watch(settleSpared(work, spared, finished.manifest));
  return outcome;
}

/**
 * Most cores are small: they are through in milliseconds and wait in memory. What needs no crashed process, such as making
 * the bundle's file, is loaded and done when that was let go, when the core is larger than what may wait, or when this has
 * passed, in milliseconds.
 */
const PRESSING_MS = 100;

function pressingSoon({ ends }: Pick<Work, "ends">): PromiseWithResolvers<void> {
  const pressing = Promise.withResolvers<void>();
  const timer = setTimeout(pressing.resolve, PRESSING_MS);
  ends.defer(() => clearTimeout(timer));
  return pressing;
}
