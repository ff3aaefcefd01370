import { Cron } from "croner";
import { CdhError, reasonOf } from "@cdh/core/errors";

/** Say when the spool is looked at next. */
export interface Timetable {
  /** Milliseconds from now to the next look. */
  nextDelayMs(now: number): number;
  /** Whether bundles may be sent between two looks: not when the administrator chose the hours. */
  readonly uploadsAnytime: boolean;
}

/** Up to so much is added to an interval, so that the nodes of a cluster do not look all at once. */
const JITTER = 0.1;

/** Look at an interval, with jitter. */
export function everyInterval(intervalMs: number, random: () => number = Math.random): Timetable {
  return { uploadsAnytime: true, nextDelayMs: () => intervalMs * (1 - JITTER / 2 + JITTER * random()) };
}

/**
 * Look when a cron expression says so, in UTC. Five fields, or six with seconds first.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function bySchedule(expression: string): Timetable {
  try {
    // Paused: the library only computes; the daemon's own loop waits, so that two runs never overlap.
    const cron = new Cron(expression, { timezone: "UTC", paused: true });
    if (cron.nextRun() === null) throw new Error("it never happens");
    return {
      uploadsAnytime: false,
      nextDelayMs: (now) => {
        const next = cron.nextRun(new Date(now));
        return next === null ? 3600e3 : Math.max(1, next.getTime() - now);
      },
    };
  } catch (error) {
    throw new CdhError("CDH_CONFIG_INVALID", `no cron expression such as \`0 2 * * *\`: ${reasonOf(error)}`, {
      hint: "write a cron expression such as `0 2 * * *`, or `*/10 * * * * *` with seconds",
    });
  }
}

/** Read a cron expression as it stands. @throws {CdhError} CDH_CONFIG_INVALID when it is none */
export function checkSchedule(expression: string): string {
  bySchedule(expression);
  return expression;
}
