import { expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { measureSpace, parseSpace, spaceBytes } from "./space.ts";

const GIB = 1024 ** 3;

it.each([
  ["1Gi", 100 * GIB, GIB],
  ["0", 100 * GIB, 0],
  ["10%", 100 * GIB, 10 * GIB],
  ["0.5 %", 100 * GIB, 0.005 * 100 * GIB],
  ["100%", 7, 7],
])("%s of %d bytes", (text, total, bytes) => expect(spaceBytes(parseSpace(text), total)).toBe(Math.floor(bytes)));

it.each(["101%", "-1%", "much", "5%%"])("refuses %s", (text) => expect(() => parseSpace(text)).toThrow(CdhError));

it("measures a file system, and says nothing of one that is not there", async () => {
  const space = await measureSpace("/");
  expect(space?.totalBytes).toBeGreaterThan(space?.availableBytes ?? Number.POSITIVE_INFINITY);
  expect(await measureSpace("/no/such/place")).toBeUndefined();
});
