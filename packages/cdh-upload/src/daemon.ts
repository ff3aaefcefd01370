import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { UploadSettings } from "./settings.ts";
import type { SpoolScan } from "./spool-scan.ts";
import { bySchedule, everyInterval, type Timetable } from "./timetable.ts";
import type { Uploader } from "./uploader.ts";
import { watchSpool, type SpoolWatch } from "./watch.ts";

/** Between two looks when nobody set anything. */
const DEFAULT_INTERVAL_MS = 60_000;
/** Events come in bursts: a crash makes several. */
const HURRY_MS = 50;
/** A look at a large backlog may take longer; sending begins then, with what was seen so far. */
const PATIENCE_MS = 200;
/** A spool that cannot be watched is tried again after this. */
const REWATCH_MS = 10_000;
/** With a schedule the wall clock is looked at so often, and counts as set when it moved by so much on its own. */
const CLOCK_LOOK_MS = 10_000;
const CLOCK_SET_MS = 2000;

/** What the daemon needs. */
export interface DaemonOptions {
  settings: UploadSettings;
  uploader: Uploader;
  clock: Clock;
  log: Logger;
  stopSignal: AbortSignal;
  /** Called after each look at the spool, failed ones included. */
  onLook?: (look: SpoolScan | { failure: unknown }) => Promise<void>;
}

/** Choose when to look. INTERVAL wins over SCHEDULE, as in IBM's agent. @throws {CdhError} CDH_CONFIG_INVALID */
export function chooseTimetable(settings: UploadSettings): Timetable {
  if (settings.intervalMs !== undefined) return everyInterval(Math.max(1000, settings.intervalMs));
  if (settings.schedule !== undefined) return bySchedule(settings.schedule);
  return everyInterval(DEFAULT_INTERVAL_MS);
}

/**
 * Look and send until told to stop. The look on the timer is the truth; watching only hurries it. Everything happens in
 * one loop, so nothing overlaps.
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { settings, uploader, clock, log, stopSignal } = options;
  const timetable = chooseTimetable(settings);
  const watches = settings.useInotify ?? (settings.intervalMs === undefined && settings.schedule === undefined);
  const giveUp = new AbortController();
  const alarm = new Alarm();
  stopSignal.addEventListener("abort", () => alarm.ring(), { once: true });
  let hurry = false;
  let watching: SpoolWatch | undefined;
  let rewatchAt = 0;
  let toldUnwatched = false;
  let lookAt = clock.monotonic();
  // Wall clock less the one that never jumps: when it changes, somebody has set the clock.
  let setBy = clock.now() - clock.monotonic();
  // Watch first, then look: whatever appears in between is seen by one of the two.
  const ensureWatch = async (): Promise<void> => {
    if ((await watching?.isCurrent()) === false) {
      watching?.close();
      watching = undefined;
      rewatchAt = 0;
    }
    if (!watches || watching !== undefined || clock.monotonic() < rewatchAt) return;
    let failed = false;
    const opened = watchSpool(
      settings.coreDir,
      () => {
        hurry = true;
        alarm.ring();
      },
      (error) => {
        failed = true;
        watching = undefined;
        rewatchAt = clock.monotonic() + REWATCH_MS;
        if (!toldUnwatched) log.warn("cannot watch the spool; looking on the timer only", { reason: reasonOf(error) });
        toldUnwatched = true;
      },
    );
    if (failed) return;
    watching = opened;
    if (toldUnwatched) log.info("watching the spool");
    toldUnwatched = false;
    // What was put there before it was watched has no event.
    hurry = true;
  };
  // A schedule is about the wall clock, and a wait is not: whoever sets the clock moves the next look.
  const mindClock = (): void => {
    const wall = clock.now();
    const moved = wall - clock.monotonic() - setBy;
    setBy += moved;
    if (Math.abs(moved) <= CLOCK_SET_MS || timetable.uploadsAnytime) return;
    // A moment that was leapt over is now.
    const isMissed = moved > 0 && timetable.nextDelayMs(wall - moved) <= moved;
    lookAt = clock.monotonic() + (isMissed ? 0 : timetable.nextDelayMs(wall));
  };

  const send = (): void => {
    if (!stopSignal.aborted) uploader.pump(giveUp.signal, () => alarm.ring());
  };

  try {
    while (!stopSignal.aborted) {
      await ensureWatch();
      mindClock();
      const now = clock.monotonic();
      if (hurry || now >= lookAt) {
        const scheduled = now >= lookAt;
        hurry = false;
        let sentAt = now;
        const look = await uploader
          .scan(() => {
            if (clock.monotonic() - sentAt <= PATIENCE_MS) return;
            sentAt = clock.monotonic();
            send();
          }, stopSignal)
          .catch((failure: unknown) => {
            log.error("cannot look at the spool", { reason: reasonOf(failure) });
            return { failure };
          });
        await options.onLook?.(look);
        if (scheduled) lookAt = clock.monotonic() + timetable.nextDelayMs(clock.now());
      }
      send();
      await alarm.wait(clock, untilNext(), stopSignal);
      // Let a burst of events come to its end.
      if (hurry && !stopSignal.aborted) await clock.sleep(HURRY_MS, stopSignal).catch(() => {});
    }
  } finally {
    watching?.close();
    await windDown();
  }

  function untilNext(): number {
    const now = clock.monotonic();
    const next = uploader.nextMoment();
    // When every slot is taken, the end of an upload rings.
    const busy = next !== undefined && next <= now;
    const moments = [lookAt, ...(next === undefined || busy ? [] : [next])];
    if (watches && watching === undefined) moments.push(rewatchAt);
    if (!timetable.uploadsAnytime) moments.push(now + CLOCK_LOOK_MS);
    return Math.max(0, Math.min(...moments) - now);
  }

  async function windDown(): Promise<void> {
    if (uploader.running === 0) return;
    log.info("finishing uploads before the end", { running: uploader.running, graceMs: settings.shutdownGraceMs });
    const timer = new AbortController();
    const grace = clock.sleep(settings.shutdownGraceMs, timer.signal).then(
      () => giveUp.abort(new Error("the grace period is over")),
      () => {},
    );
    await uploader.settle();
    timer.abort();
    await grace;
  }
}

/** Something to wait for that may ring before anybody waits. */
class Alarm {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Wait until it rings, or so long. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const over = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => (this.#wake = resolve)),
        clock.sleep(ms, over.signal).catch(() => {}),
      ]);
      over.abort();
    }
    this.#wake = undefined;
    this.#rung = false;
  }
}
