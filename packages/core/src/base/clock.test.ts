import { describe, expect, it } from "vitest";
import { systemClock, timerMs } from "./clock.ts";

describe("timerMs", () => {
  it.each([
    [0, 0],
    [-5, 0],
    [0.2, 1],
    [1500, 1500],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [2 ** 31, 2 ** 31 - 1],
    [30 * 24 * 3600e3, 2 ** 31 - 1],
    [Number.POSITIVE_INFINITY, 2 ** 31 - 1],
    [Number.NaN, 0],
  ])("brings %d to %d", (ms, expected) => {
    expect(timerMs(ms)).toBe(expected);
  });
});

describe("the system's clock", () => {
  it.each([2 ** 31, 30 * 24 * 3600e3, Number.POSITIVE_INFINITY])(
    "waits for %d ms, until it is told to stop",
    async (ms) => {
      const stop = new AbortController();
      const warnings: unknown[] = [];
      const onWarning = (warning: Error): void => void warnings.push(warning.name);
      process.on("warning", onWarning);
      try {
        const waiting = systemClock.sleep(ms, stop.signal).then(
          () => "ended",
          () => "stopped",
        );
        const soon = systemClock.sleep(60).then(() => "waits");
        expect(await Promise.race([waiting, soon])).toBe("waits");
        stop.abort();
        expect(await waiting).toBe("stopped");
        expect(warnings).toEqual([]);
      } finally {
        process.off("warning", onWarning);
      }
    },
  );
});
