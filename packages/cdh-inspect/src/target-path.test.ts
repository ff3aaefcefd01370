import { expect, it } from "vitest";
import { targetPath } from "./target-path.ts";

it.each([
  ["N-proc/maps", "out/N-proc/maps", "out\\N-proc\\maps"],
  ["a:b.log", "out/a:b.log", "out\\a_b.log"],
  ["nul.log", "out/nul.log", "out\\_nul.log"],
  ["CON", "out/CON", "out\\_CON"],
  ["console.log", "out/console.log", "out\\console.log"],
  ["dots...", "out/dots...", "out\\dots_"],
  ['we"ird?*|<>.log', 'out/we"ird?*|<>.log', "out\\we_ird_____.log"],
])("%s", (name, posix, windows) => {
  expect(targetPath("out", name, "linux")).toBe(posix);
  expect(targetPath("out", name, "darwin")).toBe(posix);
  expect(targetPath("out", name, "win32")).toBe(windows);
});
