import { describe, expect, it } from "vitest";
import { formatMoment } from "@cdh/core/report/moment";
import { parseTime } from "./parse-time.ts";

const invalid = expect.objectContaining({ code: "CDH_CONFIG_INVALID" });

describe("parseTime", () => {
  const now = Date.UTC(2026, 10, 21, 12);

  it.each([
    ["2h", Date.UTC(2026, 10, 21, 10)],
    ["1d12h", Date.UTC(2026, 10, 20, 0)],
    ["2026-11-20", Date.UTC(2026, 10, 20)],
    ["2026-11-20T06:00:00Z", Date.UTC(2026, 10, 20, 6)],
    ["2026-11-20 06:00:00", Date.UTC(2026, 10, 20, 6)],
  ])("reads %s", (text, expected) => {
    expect(parseTime(text, now)).toBe(expected);
  });

  it("refuses what is no time, and shows times without their fraction", () => {
    expect(() => parseTime("yesterday", now)).toThrow(invalid);
    expect(() => parseTime("2026-13-45", now)).toThrow(invalid);
    expect(formatMoment("2026-11-21T08:26:11.123Z")).toBe("2026-11-21 08:26:11");
  });
});
