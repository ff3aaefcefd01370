import { expect, it } from "vitest";
import { drawBar } from "./progress.ts";

const MIB = 1024 ** 2;

it.each([
  [200, "3 bundles  [############............]  50%  512 MiB of 1.0 GiB  51.2 MiB/s, 10.0 s left"],
  [70, "3 bundles  [######......]  50%  512 MiB of 1.0 GiB  51.2 MiB/s"],
  [40, "3 bundles  [######......]  50%"],
  [20, "3 bundles  50%"],
  [8, "50%"],
  [3, "50"],
  [1, ""],
])("fits a terminal of %i columns", (columns, expected) => {
  expect(drawBar("3 bundles", 512 * MIB, 1024 * MIB, 512 * MIB, 10_000, columns)).toBe(expected);
});

it.each([2, 3, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 132])("never reaches the last of %i columns", (columns) => {
  for (const label of ["1 bundle", "a".repeat(300)]) {
    for (const done of [0, 1, 999 * MIB, 1024 ** 4])
      for (const total of [undefined, 0, 1024 ** 4])
        expect(drawBar(label, done, total, done, 12_345, columns).length).toBeLessThan(columns);
  }
});

it("draws rate and time left, and goes without what is not known", () => {
  expect(drawBar("core", 512 * 1024, 1024 * 1024, 512 * 1024, 1000)).toBe(
    `core  [${"#".repeat(12)}${".".repeat(12)}]  50%  512 KiB of 1.0 MiB  512 KiB/s, 1.0 s left`,
  );
  expect(drawBar("core", 100, undefined, 100, 1000)).toBe("core  100 B  100 B/s");
});
