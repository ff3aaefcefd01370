import { expect, it } from "vitest";
import { EventBudget } from "./event-budget.ts";

const MINUTE = 60_000;

function budgetAt(): { clock: { at: number; monotonic: () => number }; budget: EventBudget } {
  const clock = { at: 0, monotonic: () => clock.at };
  return { clock, budget: new EventBudget(clock) };
}

it("a pod that crashes 1,306 times under as many names writes 25 Events in five minutes, under 11 names", () => {
  const { clock, budget } = budgetAt();
  const names = new Set<string>();
  let writes = 0;
  for (let crash = 0; crash < 1306; crash += 1) {
    clock.at = (crash / 1306) * 5 * MINUTE;
    const grant = budget.ask("pod", "CoreDumped", `exe-${crash}`, 1);
    if (grant.status !== "granted") continue;
    writes += 1;
    names.add(grant.combined ? "combined" : `exe-${crash}`);
  }
  expect(writes).toBe(25);
  expect(names.size).toBe(11);
});

it("loses no count: what was refused is told with the next Event of the same reason", () => {
  const { clock, budget } = budgetAt();
  let told = 0;
  for (let crash = 0; crash < 100; crash += 1) {
    const grant = budget.ask("pod", "CoreDumped", "exe", 1);
    if (grant.status === "granted") told += 1 + grant.held;
  }
  clock.at = 5 * MINUTE;
  expect(budget.ask("pod", "CoreDumpLost", "exe", 1)).toEqual({ status: "granted", combined: false, held: 0 });
  clock.at = 10 * MINUTE;
  const grant = budget.ask("pod", "CoreDumped", "exe", 1);
  expect(told + (grant.status === "granted" ? 1 + grant.held : 0)).toBe(101);
});

it("one pod's Events take nothing from another's", () => {
  const { budget } = budgetAt();
  for (let crash = 0; crash < 1000; crash += 1) budget.ask("loud", "CoreDumped", `exe-${crash}`, 1);
  expect(budget.ask("calm", "CoreDumped", "exe", 1)).toEqual({ status: "granted", combined: false, held: 0 });
});

it("is bounded, however many pods there are", () => {
  const { budget } = budgetAt();
  for (let pod = 0; pod < 10_000; pod += 1) budget.ask(`pod-${pod}`, "CoreDumped", "exe", 1);
  // The first was forgotten, and starts anew.
  for (let crash = 0; crash < 24; crash += 1) budget.ask("pod-0", "CoreDumped", "exe", 1);
  expect(budget.ask("pod-0", "CoreDumped", "exe", 1).status).toBe("granted");
  expect(budget.ask("pod-0", "CoreDumped", "exe", 1).status).toBe("refused");
});
