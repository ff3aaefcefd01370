import type { StepHook } from "./steps.ts";

/**
 * Make the hook that kills this process right after a step, as `kill -9` or a power cut would, when
 * `CDH_FAULT_POINT=after:<step id>` asks for it. The suites use it to prove that every half-done install and restore
 * is put right by the next run; it can do nothing that the caller could not do with kill(1).
 */
export function faultHook(env: Readonly<Record<string, string | undefined>>): StepHook {
  const wanted = /^after:(.+)$/.exec(env["CDH_FAULT_POINT"] ?? "")?.[1];
  return async (step) => {
    if (step.id !== wanted) return;
    process.kill(process.pid, "SIGKILL");
    // The signal is on its way; nothing may happen any more.
    await new Promise(() => {});
  };
}
