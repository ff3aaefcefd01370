import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRecord } from "../testing/record.ts";
import { labelOf, labelsOf, labelValue } from "./labels.ts";

it("any text becomes a valid value, or none", () => {
  const random = new SeededRandom(72);
  for (let run = 0; run < 1000; run += 1) {
    const text = String.fromCharCode(
      ...Array.from({ length: random.integer(90) }, () => random.integer(run % 2 === 0 ? 128 : 0x3000)),
    );
    const value = labelValue(text);
    expect(
      value === undefined || /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(value),
      JSON.stringify(text),
    ).toBe(true);
  }
});

it("what is valid stays as it is", () => {
  for (const text of ["a", "SIGSEGV", "web-0", "a.b_c-d", "x".repeat(63)]) expect(labelValue(text)).toBe(text);
  expect(labelValue("x".repeat(64))).toBe("x".repeat(63));
  expect(labelValue("-.-")).toBeUndefined();
  expect(labelValue(undefined)).toBeUndefined();
});

it("all labels are those that are found one by one", () => {
  const record = makeRecord({ keep: true, ownerName: undefined, exe: undefined, comm: "kworker/0:1" });
  const labels = labelsOf(record, undefined);
  expect(labels).toEqual({
    "core-dump-handler.dev/pod": "worker",
    "core-dump-handler.dev/container": "app",
    "core-dump-handler.dev/signal": "SIGSEGV",
    "core-dump-handler.dev/node": "worker-3",
    "core-dump-handler.dev/executable": "kworker-0-1",
    "core-dump-handler.dev/keep": "true",
  });
  for (const [key, value] of Object.entries(labels)) expect(labelOf(record, key)).toBe(value);
  expect(labelsOf(record, "bug-0123456789")).toEqual({ ...labels, "core-dump-handler.dev/group": "bug-0123456789" });
  expect(labelOf(record, "core-dump-handler.dev/constructor")).toBeUndefined();
});
