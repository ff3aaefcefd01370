import { expect, it } from "vitest";
import { formatTable } from "../cli/output.ts";
import { append, largest, smallest } from "./lists.ts";

it("works on lists of any length", () => {
  const many = Array.from({ length: 300_000 }, (_, at) => at);
  const list = [-1];
  append(list, many);
  expect(list).toHaveLength(300_001);
  expect(list.at(-1)).toBe(299_999);
  expect(largest(many, 5)).toBe(299_999);
  expect(largest([], 5)).toBe(5);
  expect(smallest(many, 5)).toBe(0);
  expect(smallest([], 5)).toBe(5);
});

it("a table of 200,000 rows is laid out like a small one", () => {
  const rows = Array.from({ length: 200_000 }, (_, at) => at);
  const table = formatTable(
    [
      { header: "N", value: String },
      { header: "X", value: () => "x" },
    ],
    rows,
  );
  expect(table.split("\n")).toHaveLength(200_002);
  expect(table.slice(0, 20)).toBe("N       X\n0       x\n");
});
