import { describe, expect, it } from "vitest";
import { lineAt } from "./python-objects.ts";

/** An entry of a table of lines: its kind, how many instructions it is for, and the bytes behind. */
const entry = (kind: number, length: number, ...more: number[]): number[] => [
  0x80 | (kind << 3) | (length - 1),
  ...more,
];

describe("lineAt", () => {
  const table = Uint8Array.from([
    // No column: one line on.
    ...entry(13, 1, 2),
    // Short, on the same line.
    ...entry(0, 2, 0x12),
    // Two lines on.
    ...entry(12, 1, 4, 8),
    // Of no line.
    ...entry(15, 1),
    // Long: 40 lines back, more bytes.
    ...entry(14, 3, 0x40 | 17, 1, 0, 1, 1),
  ]);

  it("tells the line of each instruction", () => {
    const lines = Array.from({ length: 9 }, (_, unit) => lineAt(table, 100, unit));
    expect(lines).toEqual([101, 101, 101, 103, undefined, 63, 63, 63, undefined]);
  });

  it("tells none of a damaged table", () => {
    expect(lineAt(Uint8Array.from([]), 1, 0)).toBeUndefined();
    expect(lineAt(Uint8Array.from([0x01, 0x80]), 1, 0)).toBeUndefined();
    expect(lineAt(Uint8Array.from(entry(13, 1, 0x40)), 1, 0)).toBeUndefined();
    expect(lineAt(Uint8Array.from(entry(14, 8, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f)), 1, 0)).toBeUndefined();
  });
});
