import { expect, it } from "vitest";
import { chooseMeant, type CrashNames } from "./meant.ts";

const crash = (name: string, pod: string, workload: string): CrashNames => ({
  name,
  bundle: `${name}-dump-1795249571-${pod}-server-1-11.zip`,
  pod,
  workload,
});
const CRASHES = [
  crash("541c7eab-aaaa-4222-8333-4444e2e34444", "web-0", "web"),
  crash("541c0000-1111-4222-8333-444444444444", "web-1", "web"),
  crash("00000000-1111-4222-8333-444444444444", "cart-e2e1", "cart"),
];

it.each([
  ["541c7eab-aaaa-4222-8333-4444e2e34444", "name", [0]],
  [CRASHES[1]?.bundle ?? "", "name", [1]],
  ["web-1", "pod", [1]],
  ["web", "workload", [0, 1]],
  ["541c7", "part", [0]],
  ["541c", "part", [0, 1]],
  ["e2e1", "part", [2]],
  // It stands in the middle of another pod's id.
  ["e2e3", undefined, []],
  ["54", undefined, []],
  ["server", undefined, []],
  ["", undefined, []],
])("%j means by its %s %j", (text, meaning, indexes) => {
  const found = chooseMeant(CRASHES, text, (one) => one);
  expect([found.meaning, found.crashes]).toEqual([meaning, indexes.map((index) => CRASHES[index])]);
});
