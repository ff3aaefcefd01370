import { describe, expect, it } from "vitest";
import { binomialTail, suspectNodes, testShares } from "./suspect-nodes.ts";

describe("binomialTail", () => {
  // As R's pbinom(k - 1, n, p, lower.tail = FALSE).
  it.each([
    [0, 10, 0.1, 1],
    [10, 10, 0.5, 1 / 1024],
    [5, 10, 0.5, 638 / 1024],
    [1, 3, 0.25, 1 - 0.75 ** 3],
    [11, 10, 0.5, 0],
  ])("%d or more of %d with %d", (count, trials, chance, expected) =>
    expect(binomialTail(count, trials, chance)).toBeCloseTo(expected, 12),
  );

  it("agrees with adding up all terms, also for many trials", () => {
    const direct = (atLeast: number, trials: number, chance: number): number => {
      let [term, sum] = [(1 - chance) ** trials, 0];
      for (let at = 0; at <= trials; at += 1) {
        if (at >= atLeast) sum += term;
        term *= ((trials - at) / (at + 1)) * (chance / (1 - chance));
      }
      return sum;
    };
    for (const [k, n, p] of [
      [9, 200, 0.02],
      [80, 500, 0.1],
      [300, 1000, 0.3],
    ] as const)
      expect(binomialTail(k, n, p) / direct(k, n, p)).toBeCloseTo(1, 9);
  });
});

describe("suspectNodes", () => {
  const nodes = Array.from({ length: 20 }, (_, index) => `node-${index}`);

  it("tells a node with many bugs that are seen nowhere else", () => {
    const bugs = [...Array.from({ length: 9 }, () => ["node-7"]), ["node-1"], ["node-2"], ["node-1", "node-2"]];
    expect(suspectNodes(bugs, nodes)).toMatchObject([{ node: "node-7", count: 9, of: 11, nodes: 20 }]);
  });

  it("tells none where bugs are spread, where there are few, or few nodes", () => {
    expect(
      suspectNodes(
        nodes.map((node) => [node]),
        nodes,
      ),
    ).toEqual([]);
    expect(suspectNodes([["node-7"], ["node-7"], ["node-7"]], nodes)).toEqual([]);
    expect(
      suspectNodes(
        Array.from({ length: 50 }, () => ["a"]),
        ["a", "b"],
      ),
    ).toEqual([]);
  });

  it("by chance tells no more often than it says", () => {
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    let told = 0;
    for (let round = 0; round < 2000; round += 1) {
      const counts = new Map<string, number>();
      for (let bug = 0; bug < 30; bug += 1) {
        const node = nodes[Math.floor(random() * nodes.length)] ?? "";
        counts.set(node, (counts.get(node) ?? 0) + 1);
      }
      if (testShares(counts, nodes.length).length > 0) told += 1;
    }
    expect(told).toBeLessThanOrEqual(6);
  });
});
