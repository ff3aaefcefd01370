import { expect, it } from "vitest";
import { matchesGlob } from "./glob.ts";

it.each<[name: string, pattern: string, is: boolean]>([
  ["libshop.so.1", "libshop*", true],
  ["libshop.so.1", "*.so.?", true],
  ["libshop.so.1", "*.so", false],
  ["server", "*", true],
  ["server", "", false],
  ["a1", "a[0-9]", true],
  ["ab", "a[^0-9]", true],
  ["a1", "a[^0-9]", false],
  ["a-", "a[]-]", true],
  ["a[", "a[", false],
  ["aXbXc", "a*b*c", true],
])("%s against %s: %s", (name, pattern, is) => {
  expect(matchesGlob(name, pattern)).toBe(is);
});

it("takes its time by the lengths alone", () => {
  const started = performance.now();
  expect(matchesGlob("a".repeat(128), `${"*a".repeat(200)}b`)).toBe(false);
  expect(performance.now() - started).toBeLessThan(500);
});
