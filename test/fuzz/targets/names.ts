import * as fc from "fast-check";
import { demangle } from "../../../packages/unwind/src/names/demangle.ts";
import { around, hostileText } from "../grammar/text.ts";
import { defineTarget, must } from "../target.ts";

const PIECES = [
  "N",
  "E",
  "I",
  "J",
  "S_",
  "S0_",
  "S1_",
  "St",
  "Sa",
  "T_",
  "T0_",
  "Dp",
  "sr",
  "L",
  "i",
  "v",
  "P",
  "R",
  "K",
  "F",
  "3foo",
  "3bar",
  "1a",
  "C1",
  "D0",
  "cv",
  "X",
  "Ut_",
  "UlvE_",
  "B5cxx11",
  "pl",
  "fp_",
  "C",
  "M",
  "Y",
  "Xs_",
  "B0_",
  "B3_",
  "C1x",
  "NvC1a1b",
  "INtC1a1bE",
  "17h0123456789abcdefE",
  "999999999",
  "u3abc_",
  ".constprop.0",
  "$LT$",
  "..",
];

/** Linkers' names: substitutions that double, nesting, numbers that lie. */
export const namesTarget = defineTarget({
  name: "names",
  what: "mangled names of C++ and Rust: substitutions that double, nesting, numbers that lie",
  recipes: fc.record({
    start: fc.constantFrom("_Z", "_ZN", "_R", "_RNv", "_RINv", "_Z1f"),
    pieces: fc.array(
      fc.tuple(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...PIECES) }, hostileText), around(30, 500)),
      { maxLength: 14 },
    ),
  }),
  build: ({ start, pieces }) => `${start}${pieces.map(([piece, times]) => piece.repeat(Math.max(0, times))).join("")}`,
  bytesOf: (name) => Buffer.from(name),
  run: (name) => {
    const readable = demangle(name);
    must(readable === undefined || readable.length <= 70_000, `${readable?.length} characters`);
  },
  cpuMaxMs: 1000,
});
