import { expect, it } from "vitest";
import { Gate } from "./gate.ts";

/** Let a share take as much as it gets. */
const fill = (gate: Gate, share: string): number => {
  for (let count = 0; ; count += 1) {
    try {
      gate.enter(share);
    } catch {
      return count;
    }
  }
};

it("one alone has half, those who come later have a part of what is left, and one more always gets in", () => {
  const gate = new Gate(1000, "things");
  const taken = Array.from({ length: 8 }, (_, index) => fill(gate, `user-${index}`));
  expect(taken).toEqual([500, 250, 125, 63, 31, 16, 8, 4]);
  expect(fill(gate, "one more")).toBeGreaterThan(0);
});

it("a place of the only kind is given to the first; what is given back counts once", async () => {
  const gate = new Gate(1, "things");
  const leave = gate.enter("a");
  expect(() => gate.enter("b")).toThrow(expect.objectContaining({ status: 429, retryAfter: 2 }));
  leave();
  leave();
  expect(gate.inside).toBe(0);
  await expect(gate.run("b", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(gate.inside).toBe(0);
});
