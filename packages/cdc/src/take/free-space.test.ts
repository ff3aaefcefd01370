import { expect, it } from "vitest";
import { parseInodes, parseSpace } from "@cdh/core/composer/space";
import { lacksInodes, spaceBytes } from "./free-space.ts";

const GIB = 1024 ** 3;

it.each([
  ["1Gi", 100 * GIB, GIB],
  ["0", 100 * GIB, 0],
  ["10%", 100 * GIB, 10 * GIB],
  ["0.5 %", 100 * GIB, 0.005 * 100 * GIB],
  ["100%", 7, 7],
])("%s of %d bytes", (text, total, bytes) => expect(spaceBytes(parseSpace(text), total)).toBe(Math.floor(bytes)));

it("inodes are a number or a part of all, and none are wanted where there is no number of them", () => {
  const space = (freeInodes: number, totalInodes: number) => ({
    availableBytes: 0,
    totalBytes: 0,
    freeInodes,
    totalInodes,
  });
  expect(lacksInodes(parseInodes("6%"), space(59, 1000))).toBe(true);
  expect(lacksInodes(parseInodes("6%"), space(60, 1000))).toBe(false);
  expect(lacksInodes(parseInodes("100"), space(99, 1000))).toBe(true);
  expect(lacksInodes(parseInodes("0"), space(0, 1000))).toBe(false);
  expect(lacksInodes(parseInodes("6%"), space(0, 0))).toBe(false);
  expect(lacksInodes(parseInodes("6%"), undefined)).toBe(false);
});
