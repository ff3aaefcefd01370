import { expect, it } from "vitest";
import { makeRecord } from "../testing/record.ts";
import { phaseOf } from "./phase.ts";
import { Tally } from "./tally.ts";

const DAY = 24 * 3600e3;
const START = 1_795_249_571_000;

/** Crashes by image, in days after the start. */
function tallyOf(...crashes: readonly (readonly [day: number, image?: string])[]): Tally {
  const tally = new Tally();
  for (const [at, [day, imageRef]] of crashes.entries())
    tally.add(makeRecord({ name: `d${at}`, crashedAt: START + day * DAY, imageRef }));
  return tally;
}

const resolved = (day: number, resolvedIn?: string) => ({
  state: "resolved" as const,
  by: "ann",
  at: START + day * DAY,
  ...(resolvedIn === undefined ? {} : { resolvedIn }),
});

it("a group is new for a day, and open then", () => {
  const tally = tallyOf([0, "shop:1"]);
  expect(phaseOf(tally, undefined, START + DAY / 2)).toBe("new");
  expect(phaseOf(tally, undefined, START + 2 * DAY)).toBe("open");
  expect(phaseOf(tally, { state: "open", by: "ann", at: START }, START + 2 * DAY)).toBe("open");
  expect(phaseOf(tally, { state: "muted", by: "ann", at: START }, START + DAY / 2)).toBe("muted");
});

it.each([
  ["nothing since", [[0, "shop:1.8"]], resolved(1, "1.9"), "resolved"],
  [
    "an old image that still runs",
    [
      [0, "shop:1.8"],
      [2, "shop:1.8"],
    ],
    resolved(1, "1.9"),
    "resolved",
  ],
  [
    "an older version that was rolled out again",
    [
      [0, "shop:1.8"],
      [2, "shop:1.7"],
    ],
    resolved(1, "1.9"),
    "resolved",
  ],
  [
    "the mended version",
    [
      [0, "shop:1.8"],
      [2, "shop:1.9"],
    ],
    resolved(1, "1.9"),
    "regressed",
  ],
  [
    "a later version; ten is more than nine",
    [
      [0, "shop:1.8"],
      [2, "shop:1.10.1"],
    ],
    resolved(1, "shop:1.9"),
    "regressed",
  ],
  [
    "no version named, an image that is new",
    [
      [0, "shop:a"],
      [2, "shop:b"],
    ],
    resolved(1),
    "regressed",
  ],
  [
    "no version named, an image that was there",
    [
      [0, "shop:a"],
      [2, "shop:a"],
    ],
    resolved(1),
    "resolved",
  ],
  [
    "names that cannot be compared: the one that was named",
    [
      [0, "shop:abc"],
      [2, "shop:abc"],
    ],
    resolved(1, "abc"),
    "regressed",
  ],
  ["a process of the host", [[0], [2]], resolved(1, "1.9"), "regressed"],
] as const)("resolved: %s", (_what, crashes, state, phase) => {
  expect(phaseOf(tallyOf(...crashes), state, START + 9 * DAY)).toBe(phase);
});
