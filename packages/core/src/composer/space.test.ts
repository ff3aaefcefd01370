import { expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { parseInodes, parseSpace } from "./space.ts";

it.each([
  ["1Gi", { bytes: 1024 ** 3 }],
  ["0", { bytes: 0 }],
  ["10%", { fraction: 0.1 }],
  [" 100 % ", { fraction: 1 }],
])("space: %s", (text, space) => expect(parseSpace(text)).toEqual(space));

it.each(["101%", "150%", "-1%", "much", "5%%", ""])("no space: %s", (text) =>
  expect(() => parseSpace(text)).toThrow(CdhError),
);

it.each([
  ["100000", { count: 100_000 }],
  ["6%", { fraction: 0.06 }],
])("inodes: %s", (text, inodes) => expect(parseInodes(text)).toEqual(inodes));

it.each(["101%", "-1", "some", "1e9", "1Gi", ""])("no inodes: %s", (text) =>
  expect(() => parseInodes(text)).toThrow(CdhError),
);
