import { expect, it } from "vitest";
import { formatPlace, makeAddressMap } from "./address-map.ts";

/** As a real arm64 kernel laid them out: the vDSO in the 64 KiB between the loader's code and its data. */
const MODULES = [
  { path: "/lib/libc.so.6", start: "0xffffa9800000", end: "0xffffa99a2000" },
  { path: "/lib/ld-linux-aarch64.so.1", start: "0xffffa99d3000", end: "0xffffa9a15000" },
  { path: "[vdso]", start: "0xffffa9a10000", end: "0xffffa9a11000" },
  { path: "/app/empty", start: "0xffffb0000000", end: "0xffffb0000000" },
];

it.each([
  [0xffffa97fffffn, undefined],
  [0xffffa9800000n, "libc.so.6+0x0"],
  [0xffffa99a2000n, undefined],
  [0xffffa99d3010n, "ld-linux-aarch64.so.1+0x10"],
  [0xffffa9a0ffffn, "ld-linux-aarch64.so.1+0x3cfff"],
  [0xffffa9a107bcn, "[vdso]+0x7bc"],
  [0xffffa9a11000n, "ld-linux-aarch64.so.1+0x3e000"],
  [0xffffa9a14fffn, "ld-linux-aarch64.so.1+0x41fff"],
  [0xffffa9a15000n, undefined],
  [0xffffb0000000n, undefined],
])("finds 0x%s in the innermost module", (address, place) => {
  const found = makeAddressMap(MODULES).find(address);
  expect(found && `${found.path.slice(found.path.lastIndexOf("/") + 1)}+0x${found.offset.toString(16)}`).toBe(place);
});

it("finds nothing where there are no modules", () => {
  expect(makeAddressMap([]).find(0n)).toBeUndefined();
});

it("finds the module and the offset, and nothing between modules, of empty or of broken ones", () => {
  const map = makeAddressMap([
    { path: "/lib/libc.so.6", start: "0x2000", end: "0x3000" },
    { path: "/bin/server", start: "0x1000", end: "0x1800", buildId: "aa" },
    { path: "/lib/empty", start: "0x5000", end: "0x5000" },
    { path: "/lib/broken", start: "here", end: "there" },
  ]);
  expect(map.find(0x1010n)).toEqual({ path: "/bin/server", offset: 0x10n, buildId: "aa" });
  expect(formatPlace(map.find(0x2fffn) ?? { path: "", offset: 0n })).toBe("libc.so.6+0xfff");
  for (const address of [0n, 0xfffn, 0x1800n, 0x3000n, 0x5000n]) expect(map.find(address)).toBeUndefined();
});
