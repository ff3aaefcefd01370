import { expect, it } from "vitest";
import { groupModules } from "./modules.ts";

const PATH = "/usr/bin/node";
const map = (start: bigint, end: bigint, fileOffset: bigint) => ({ path: PATH, start, end, fileOffset });
const code = (vaddr: bigint) => ({ vaddr, offset: 0, fileSize: 0, memSize: 4096, flags: 5 });

it("does not stretch a module over its file's second mapping, far above the heap", () => {
  const modules = groupModules(
    [
      map(0x400000n, 0x82e000n, 0n),
      map(0x82e000n, 0x3489000n, 0x42e000n),
      map(0x72dc000n, 0x7308000n, 0x6edc000n),
      map(0x7f8ca6500000n, 0x7f8ca6715000n, 0x1627000n),
    ],
    new Map(),
    [code(0x82e000n), code(0x7f8ca6500000n)],
    undefined,
  );
  expect(modules.map(({ start, end }) => [start, end])).toEqual([
    [0x400000n, 0x7308000n],
    [0x7f8ca6500000n, 0x7f8ca6715000n],
  ]);
});

it("goes on behind the hole that arm64's loader leaves between code and data", () => {
  // The data begins in the page of the file where the code ends, as lld lays libraries out: before the hole's offset.
  const modules = groupModules(
    [
      map(0xffff9e780000n, 0xffff9e784000n, 0n),
      map(0xffff9e784000n, 0xffff9e793000n, 0x4000n),
      map(0xffff9e793000n, 0xffff9e795000n, 0x3000n),
    ],
    new Map(),
    [code(0xffff9e780000n), { ...code(0xffff9e784000n), flags: 0 }, { ...code(0xffff9e793000n), flags: 6 }],
    undefined,
  );
  expect(modules.map(({ start, end }) => [start, end])).toEqual([[0xffff9e780000n, 0xffff9e795000n]]);
});
