import { expect, it } from "vitest";
import { crashKeys } from "@cdh/core/groups/crash-keys";
import { groupsOf, judgeKeys, readLabelledStacks } from "../helpers/labelled-stacks.ts";

// Stacks of real crashes, kept by `CDH_GROUPS=keep npm test -- test/kernel/groups.test.ts`.
const crashes = readLabelledStacks().map(({ bug, variant, stack }) => ({ bug, variant, ...crashKeys(stack) }));

it("the labelled set has many bugs, each in some variants", () => {
  const byBug = Map.groupBy(crashes, ({ bug }) => bug);
  expect(byBug.size).toBeGreaterThanOrEqual(60);
  expect(crashes.length).toBeGreaterThanOrEqual(250);
});

it("signatures have one bug together in all builds, and keep others apart", () => {
  const { together, wrongly } = judgeKeys(groupsOf(crashes));
  const listing = crashes.map(({ bug, variant, signature }) => `${bug} ${variant}: ${signature}`).join("\n");
  console.info(`one bug together ${together.toFixed(4)}, different bugs together ${wrongly.toFixed(4)}`);
  expect(together, listing).toBeGreaterThanOrEqual(0.9);
  expect(wrongly, listing).toBeLessThanOrEqual(0.02);
});

it("sites never have different bugs together", () => {
  const placed = crashes.flatMap(({ bug, site }) => (site === undefined ? [] : [{ bug, key: site }]));
  expect(placed.length).toBeGreaterThan(crashes.length * 0.9);
  expect(judgeKeys(placed).wrongly).toBe(0);
});
