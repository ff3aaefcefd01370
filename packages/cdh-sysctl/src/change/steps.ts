import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { diskError } from "./copy-verified.ts";

/** One thing to do, planned from what was found. */
export interface Step {
  /** Stable name, also that of its fault point. */
  id: string;
  /** What it does, for people: `copy the composer`. */
  title: string;
  /** Values before and after, where it changes one. */
  from?: string;
  to?: string;
  /** False when everything is as it should be already. A step may still check something then. */
  changes: boolean;
  /** It proves something and changes nothing. */
  check?: true;
  /** Set by a check that could not be made to its end: what it found. */
  unproved?: string;
  run: () => Promise<void> | void;
  /** Takes the change back when this step or a later one fails. */
  undo?: () => Promise<void> | void;
}

/** Tell what became of a step. */
export interface StepResult {
  id: string;
  title: string;
  outcome: "done" | "checked" | "unproved" | "unchanged" | "failed" | "undone";
  from?: string;
  to?: string;
  reason?: string;
}

/** Called after each step that ran. The command line puts the progress display and the fault points here. */
export type StepHook = (step: StepResult) => void | Promise<void>;

/** Describe a step without running it. */
export function describeStep(step: Step, outcome: StepResult["outcome"], reason?: string): StepResult {
  return {
    id: step.id,
    title: step.title,
    outcome,
    ...(step.from === undefined ? {} : { from: step.from }),
    ...(step.to === undefined ? {} : { to: step.to }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/**
 * Run steps in order. When one fails, those that can be undone are undone, last first, and the error goes on.
 * @throws whatever the step threw; a failed undo is added to its message
 */
export async function runSteps(steps: readonly Step[], after: StepHook): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const undoable: Step[] = [];
  for (const step of steps) {
    if (step.undo !== undefined && step.changes) undoable.push(step);
    try {
      await step.run();
    } catch (error) {
      const cause = explainFailure(step, error);
      await after(describeStep(step, "failed", reasonOf(cause)));
      throw await undoAll(undoable, cause, after);
    }
    const result = describeStep(step, outcomeOf(step));
    results.push(result);
    await after(result);
  }
  return results;
}

/**
 * Run every step, also past errors: for taking things away.
 * @returns what became of each
 */
export async function runAllSteps(steps: readonly Step[], after: StepHook): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    let result: StepResult;
    try {
      await step.run();
      result = describeStep(step, outcomeOf(step));
    } catch (error) {
      result = describeStep(step, "failed", reasonOf(explainFailure(step, error)));
    }
    results.push(result);
    await after(result);
  }
  return results;
}

/** A full or broken disk can fail any step; what has no errno is a mistake of ours and stays what it is. */
function explainFailure(step: Step, error: unknown): unknown {
  if (error instanceof CdhError || errnoOf(error) === undefined) return error;
  return diskError(`cannot ${step.title}`, error);
}

function outcomeOf(step: Step): StepResult["outcome"] {
  if (step.unproved !== undefined) return "unproved";
  if (step.check === true) return "checked";
  return step.changes ? "done" : "unchanged";
}

async function undoAll(steps: Step[], cause: unknown, after: StepHook): Promise<unknown> {
  const failures: string[] = [];
  for (const step of steps.reverse()) {
    try {
      await step.undo?.();
      await after(describeStep(step, "undone"));
    } catch (error) {
      failures.push(`${step.title}: ${reasonOf(error)}`);
    }
  }
  if (failures.length === 0) return cause;
  const code = cause instanceof CdhError ? cause.code : "CDH_ENVIRONMENT";
  return new CdhError(code, `${reasonOf(cause)}; and could not take back: ${failures.join("; ")}`, { cause });
}
