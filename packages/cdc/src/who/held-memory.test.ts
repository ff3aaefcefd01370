import { expect, it } from "vitest";
import { readMappings } from "./held-memory.ts";

const maps = (...lines: string[]): Buffer => Buffer.from(lines.map((line) => `${line}\n`).join(""));

it("tells what each mapping holds", () => {
  const text = maps(
    "00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/program",
    "00e03000-00e24000 rw-p 00000000 00:00 0           [heap]",
    "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 ",
    "7f0000021000-7f0000022000 ---p 00000000 00:00 0           [anon:guard]",
    "7f0000022000-7f0000023000 rw-s 00000000 00:01 2050        /dev/zero (deleted)",
    "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0           [stack]",
    "7ffc00021000-7ffc00025000 r--p 00000000 00:00 0           [vvar]",
    "7ffc00025000-7ffc00027000 r--p 00000000 00:00 0           [vvar_vclock]",
    "7ffc00027000-7ffc00029000 r-xp 00000000 00:00 0           [vdso]",
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]",
  );
  const found = readMappings(text, () => false);
  if ("doubt" in found) throw new Error(found.doubt);
  expect(found.map(({ contents }) => contents)).toEqual([
    "backed",
    "anonymous",
    "anonymous",
    "anonymous",
    "backed",
    "anonymous",
    "refusable",
    "refusable",
    "backed",
    "zero",
  ]);
  expect(found[0]).toEqual({ start: 0x400000, end: 0x452000, contents: "backed", fileOffset: 0x1000 });
});

it.each([
  ["memory of hugetlbfs", "7f0000000000-7f0000200000 rw-p 00000000 00:0f 7 /anon_hugepage (deleted)", true],
  ["vsyscall that can be read", "ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0 [vsyscall]", false],
  ["a mapping of the kernel's that is not known", "7f0000000000-7f0000001000 r-xp 00000000 00:00 0 [new]", false],
  ["a line that is none", "what is this", false],
])("leaves %s to the pipe", (_name, line, isHuge) => {
  expect(readMappings(maps(line), () => isHuge)).toHaveProperty("doubt");
});
