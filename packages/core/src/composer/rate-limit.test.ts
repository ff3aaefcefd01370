import { expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { parseRateLimit } from "./rate-limit.ts";

const HOUR = 3_600_000;

it.each([
  ["5/1h", { count: 5, windowMs: HOUR }],
  ["5/h", { count: 5, windowMs: HOUR }],
  [" 10 / 30m ", { count: 10, windowMs: HOUR / 2 }],
  ["5/1h30m", { count: 5, windowMs: 1.5 * HOUR }],
  ["0", undefined],
  ["0/1h", undefined],
])("%s", (text, limit) => expect(parseRateLimit(text)).toEqual(limit));

it.each(["five", "5", "5/", "-1/1h", "5/1y", "5/xyz", "0/xyz", "/1h", "", " "])("refuses %j", (text) => {
  expect(() => parseRateLimit(text)).toThrow(CdhError);
});
