import { describe, expect, it } from "vitest";
import type { Clock } from "@cdh/core/clock";
import { Circuit } from "./circuit.ts";

function handClock(): Clock & { at: number } {
  const clock = { at: 0, now: () => clock.at, monotonic: () => clock.at, sleep: async () => {} };
  return clock;
}

describe("Circuit", () => {
  it("lets all through, then nobody, then one, then all", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    expect([circuit.tryBegin(), circuit.tryBegin()]).toEqual([true, true]);
    expect(circuit.failed()).toBe(1000);
    // The second of those who had begun together: no longer wait for that.
    expect(circuit.failed()).toBe(1000);
    expect(circuit.failures).toBe(1);
    expect(circuit.tryBegin()).toBe(false);
    clock.at = 1000;
    expect([circuit.tryBegin(), circuit.tryBegin()]).toEqual([true, false]);
    expect(circuit.failed()).toBe(2000);
    clock.at = 3000;
    expect(circuit.tryBegin()).toBe(true);
    expect(circuit.succeeded()).toBe(true);
    expect([circuit.tryBegin(), circuit.tryBegin(), circuit.isOpen]).toEqual([true, true, false]);
    expect(circuit.succeeded()).toBe(false);
  });

  it("asks again when a probe said nothing about the store", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    circuit.failed();
    clock.at = 1000;
    expect(circuit.tryBegin()).toBe(true);
    circuit.undecided();
    expect(circuit.tryBegin()).toBe(true);
  });

  it("waits five minutes at most", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    let waitMs = 0;
    for (let failure = 0; failure < 40; failure += 1) {
      clock.at += waitMs;
      circuit.tryBegin();
      waitMs = circuit.failed();
    }
    expect(waitMs).toBe(300_000);
  });
});
