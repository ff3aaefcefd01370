import { stat } from "node:fs/promises";
import { Alarm } from "@cdh/core/async/alarm";
import { soon } from "@cdh/core/async/soon";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import { smallest } from "@cdh/core/lists";
import type { Logger } from "@cdh/core/log";
import { AnsweringLook } from "./queue/answering-look.ts";
import type { SpoolScan } from "./queue/spool-scan.ts";
import { bySchedule, everyInterval, type Timetable } from "./queue/timetable.ts";
import { watchSpool, type SpoolWatch } from "./queue/watch.ts";
import type { UploadSettings } from "./settings.ts";
import type { Uploader } from "./uploader.ts";

/** Between two looks when nobody set anything. */
const DEFAULT_INTERVAL_MS = 60_000;
/** Events come in bursts: a crash makes several. */
const HURRY_MS = 50;
/** A look at a large backlog may take longer; sending begins then, with what was seen so far. */
const SEND_AFTER_MS = 200;
/** A spool that cannot be watched is tried again after this. */
const REWATCH_MS = 10_000;
/** Longest wait for the answer whether the watch still watches the spool. */
const WATCH_LOOK_MS = 1000;
/** With a schedule: interval of the looks at the wall clock, and how far it must differ to count as set. */
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
  const { coreDir, storeTimeoutMs: timeoutMs } = settings;
  const spool = new AnsweringLook<void>({ clock, coreDir, timeoutMs, stopSignal });
  let hurry = false;
  let watching: SpoolWatch | undefined;
  let rewatchAt = 0;
  let toldUnwatched = false;
  let lookAt = clock.monotonic();
  // Wall clock less the monotonic one: when it changes, somebody has set the clock.
  let setBy = clock.now() - clock.monotonic();
  // Watch first, then look: whatever appears in between is seen by one of the two.
  const ensureWatch = async (): Promise<void> => {
    if (spool.hangs || !watches) return;
    // Where the spool does not answer, the look says so.
    const look = watching === undefined ? answers(settings.coreDir) : watching.isCurrent();
    const isCurrent = await soon<boolean | "answers">(look, WATCH_LOOK_MS, clock);
    // To begin to watch is a call that the whole program waits for.
    if (isCurrent === undefined) return;
    if (isCurrent === false) {
      watching?.close();
      watching = undefined;
      rewatchAt = 0;
    }
    if (watching !== undefined || clock.monotonic() < rewatchAt) return;
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
    if (!stopSignal.aborted && !spool.hangs) uploader.pump(giveUp.signal, () => alarm.ring());
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
        await spool
          .look(async (moved) => {
            const noticed = (): void => {
              if (clock.monotonic() - sentAt <= SEND_AFTER_MS) return;
              sentAt = clock.monotonic();
              send();
            };
            const found = await uploader.scan({ moved, noticed, signal: stopSignal });
            await options.onLook?.(found);
          })
          .catch(async (failure: unknown) => {
            log.error("cannot look at the spool", { reason: reasonOf(failure) });
            await options.onLook?.({ failure });
          });
        if (scheduled) lookAt = clock.monotonic() + timetable.nextDelayMs(clock.now());
      }
      send();
      await alarm.wait({ timeout: { clock, ms: untilNext() }, signal: stopSignal });
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
    return Math.max(0, smallest(moments, Number.POSITIVE_INFINITY) - now);
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

/** Wait until a directory can be looked at, or is known to be missing. */
async function answers(directory: string): Promise<"answers"> {
  await stat(directory).catch(() => {});
  return "answers";
}
