import { expect, it } from "vitest";
import { targetPath, targetPaths } from "./target-path.ts";

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

it("gives each entry a place of its own", () => {
  const names = ["xa:b", "xa_b", "xA?b", "x.partial", "x", "y", "y.partial.json"];
  expect([...targetPaths("out", names, "win32")]).toEqual([
    ["xa_b", "out\\xa_b"],
    ["x.partial", "out\\x.partial"],
    ["x", "out\\x~2"],
    ["y", "out\\y"],
    ["y.partial.json", "out\\y.partial.json~2"],
    ["xa:b", "out\\xa_b~2"],
    ["xA?b", "out\\xA_b~3"],
  ]);
  expect(targetPaths("out", names, "linux").get("xa:b")).toBe("out/xa:b");
});
