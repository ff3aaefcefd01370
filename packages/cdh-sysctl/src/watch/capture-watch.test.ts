import { expect, it } from "vitest";
import type { KernelReason } from "../check/kernel-log.ts";
import { isWholeObservation } from "./capture-watch.ts";

it.each<[what: string, proof: { arrived: boolean; kernel?: KernelReason }, misses: number, ill: boolean]>([
  ["one that a full node dropped", { arrived: false, kernel: "pipe_limit" }, 1, false],
  ["one that did not come in time", { arrived: false }, 1, false],
  ["the second in a row", { arrived: false }, 2, false],
  ["the third in a row", { arrived: false, kernel: "pipe_limit" }, 3, true],
  ["one that the kernel could not hand over", { arrived: false, kernel: "pipe_failed" }, 1, true],
  ["one that arrived cut short", { arrived: true }, 1, true],
])("a failed probe makes a node ill, or not: %s", (_what, proof, misses, ill) => {
  expect(isWholeObservation(proof, misses)).toBe(ill);
});
