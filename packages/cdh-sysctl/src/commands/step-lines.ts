import { printable } from "@cdh/core/output";
import type { Problem } from "../change/preflight.ts";
import type { StepResult } from "../change/steps.ts";

const MARKS: Readonly<Record<StepResult["outcome"], string>> = {
  done: "✓",
  checked: "✓",
  unproved: "!",
  unchanged: "·",
  failed: "✗",
  undone: "↩",
};

/** Write a step for people: `✓ set kernel.core_pattern`, and below it what was there and what is there now. */
export function stepLines(step: StepResult): string[] {
  const lines = [`${MARKS[step.outcome]} ${printable(step.title)}${note(step)}`];
  if (step.outcome === "unchanged" || step.to === undefined) return lines;
  if (step.from === undefined) return [`${lines[0]}: ${printable(step.to)}`];
  return [
    ...lines,
    `    from  ${printable(step.from)}`,
    `    to    ${printable(step.outcome === "undone" ? step.from : step.to)}`,
  ];
}

/** Write a planned step for people. */
export function planLines(step: StepResult): string[] {
  return stepLines({ ...step, outcome: "done" }).map((line, index) => (index === 0 ? line.replace(/^✓/, "→") : line));
}

/** Write a problem for people. */
export function problemLines(problem: Problem): string[] {
  const lines = [`✗ ${printable(problem.message)} (${problem.code})`];
  return problem.hint === undefined ? lines : [...lines, `    ${printable(problem.hint)}`];
}

function note(step: StepResult): string {
  if (step.outcome === "failed") return `: ${printable(step.reason ?? "failed")}`;
  if (step.outcome === "undone") return " (taken back)";
  return "";
}
