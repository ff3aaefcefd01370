import { expect, it } from "vitest";
import { cutText } from "./cut-text.ts";

it.each([
  ["abc", 3, "abc"],
  ["abcd", 3, "abc"],
  ["aé", 2, "a"],
  ["aé", 3, "aé"],
  ["𝕏𝕏", 7, "𝕏"],
  ["𝕏", 3, ""],
  ["", 0, ""],
])("%s in %d bytes is %s", (text, maxBytes, cut) => expect(cutText(text, maxBytes)).toBe(cut));

it("looks at no more than it keeps", () => {
  const text = "é".repeat(10_000_000);
  const started = performance.now();
  for (let round = 0; round < 100; round += 1) expect(cutText(text, 200)).toHaveLength(100);
  expect(performance.now() - started).toBeLessThan(500);
});
