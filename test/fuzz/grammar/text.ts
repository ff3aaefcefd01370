import * as fc from "fast-check";

/** Everything that some reader takes for the end of a line, or a field, or itself. */
export const SEPARATORS = [
  "\n",
  "\r",
  "\r\n",
  "\v",
  "\f",
  "\u001c",
  "\u001d",
  "\u001e",
  "\u0085",
  "\u2028",
  "\u2029",
  "\0",
  "\t",
  " ",
  "\u00a0",
  "\ufeff",
];

/** Texts that have been taken for something else. */
const STEERING = [
  "",
  "..",
  "../../etc/shadow",
  "/",
  "//host/share",
  "\\\\host\\share",
  "C:\\con",
  "-rf",
  "--store=file:///",
  "%h",
  "%%",
  "$(id)",
  "`id`",
  "{uuid}",
  "{",
  "}",
  "__proto__",
  "constructor",
  "toString",
  "<fuzz onload=x>",
  "&lt;",
  "'\"><fuzz>",
  "\u001b[2J",
  "\u001b]0;t\u0007",
  "\u009b31m",
  "\u202etxt.exe",
  "\u2066",
  "\ud800",
  "\udc00x",
  "e\u0301",
  "\u0000",
  "(x) S 1",
  ") R 0 0",
  "CoreDumping:\t1",
  "Uid:\t0\t0\t0\t0",
  "VmSize:\t1 kB",
  "Pid:\t1",
  "0::/kubepods/pod11111111-2222-3333-4444-555555555555",
  "=",
  ":",
  ",",
  ";",
  "#",
  "null",
  "true",
  "NaN",
  "1e999",
  "-0",
  "18446744073709551616",
  "0x10",
  "2026-02-30T25:61:61Z",
  "9".repeat(400),
];

/** Hostile text of a few pieces: steering words, every separator, odd characters. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(...STEERING),
      fc.constantFrom(...SEPARATORS),
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.string({ maxLength: 12 }),
    ),
    { maxLength: 6 },
  )
  .map((pieces) => pieces.join(""));

/** A count that sits at a limit, one before, one after, or far below. */
export function around(...limits: number[]): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.nat({ max: 8 }) },
    ...limits.map((limit) => ({
      // What is large costs seconds: it comes, but seldom.
      weight: limit > 50_000 ? 1 : 3,
      arbitrary: fc.constantFrom(limit - 1, limit, limit + 1),
    })),
  );
}

/** Numbers at the edges of what fields hold. */
export const edgeNumber: fc.Arbitrary<number> = fc.constantFrom(
  0,
  1,
  -1,
  7,
  127,
  128,
  255,
  256,
  65535,
  65536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  2 ** 63,
  2 ** 64,
);
