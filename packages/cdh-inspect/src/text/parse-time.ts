import { CdhError, reasonOf } from "@cdh/core/errors";
import { parseDuration } from "@cdh/core/units";

/**
 * Read a point in time: RFC 3339 or a date, or how long ago (`2h`, `7d`).
 * @returns epoch milliseconds
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function parseTime(text: string, now: number): number {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const time = Date.parse(
      text.includes("T") || text.length === 10 ? text : text.replace(" ", "T").replace(/(\d)$/, "$1Z"),
    );
    if (!Number.isNaN(time)) return time;
    throw new CdhError("CDH_CONFIG_INVALID", `not a time: ${JSON.stringify(text)}`, {
      hint: "2026-11-21, 2026-11-21T08:00:00Z, or 2h for two hours ago",
    });
  }
  try {
    return now - parseDuration(text);
  } catch (error) {
    throw new CdhError("CDH_CONFIG_INVALID", `not a time: ${reasonOf(error)}`, {
      hint: "2026-11-21, 2026-11-21T08:00:00Z, or 2h for two hours ago",
    });
  }
}
