import type { Problem } from "../base/problem.ts";

/**
 * Say why a manifest has no stacks though its core has some: it came without its process, so the files that name
 * functions were not at hand. @param whose what came so
 */
export function stackNotRead(whose: string): Problem {
  return {
    step: "stack",
    code: "CDH_STACK_NOT_READ",
    detail: `${whose}: the process and its files were gone; cdh-inspect bt reads the stacks`,
  };
}
