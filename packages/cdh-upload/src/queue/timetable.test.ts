import { describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { bySchedule, everyInterval } from "./timetable.ts";

describe("timetables", () => {
  it("spread intervals by a tenth", () => {
    expect(everyInterval(1000, () => 0).nextDelayMs(0)).toBe(950);
    expect(everyInterval(1000, () => 1).nextDelayMs(0)).toBe(1050);
  });

  it.each([
    ["0 2 * * *", "2026-11-21T01:00:00Z", 3600e3],
    ["*/10 * * * * *", "2026-11-21T01:00:03Z", 7000],
    ["0 0 1 * *", "2026-11-30T23:59:59Z", 1000],
  ])("follow %s", (expression, now, delay) => {
    expect(bySchedule(expression).nextDelayMs(Date.parse(now))).toBe(delay);
  });

  it.each(["every day", "61 * * * *", "0 0 30 2 *", ""])("refuse %j", (expression) => {
    expect(() => bySchedule(expression)).toThrow(CdhError);
  });
});
