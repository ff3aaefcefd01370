import type { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import type { Problem, TruncatedBy } from "@cdh/core/bundle/manifest";
import { errnoOf, reasonOf } from "@cdh/core/errors";
import type { DrainResult } from "../take/drain.ts";
import { SpaceGone } from "../take/space-guard.ts";
import { isDiskFull } from "./spool-file.ts";

/** Say why a core is not whole; undefined when it is. */
export function reasonForTruncation(
  drained: DrainResult,
  pipeline: CorePipeline,
  limitedBy: TruncatedBy,
  deadlineReached: boolean,
): TruncatedBy | undefined {
  if (pipeline.failure instanceof SpaceGone) return pipeline.failure.by;
  if (pipeline.failure !== undefined) return isDiskFull(pipeline.failure) ? "diskFull" : "shortRead";
  if (drained.endedBy === "limit") return limitedBy;
  if (drained.endedBy === "stop" && deadlineReached) return "deadline";
  return drained.endedBy === "end" ? undefined : "shortRead";
}

/** Tell what went wrong while the core arrived. */
export function drainProblems(drained: DrainResult, truncatedBy: TruncatedBy | undefined): Problem[] {
  const problems: Problem[] = [];
  const add = (code: string, detail: string): void => void problems.push({ step: "drain", code, detail });
  if (drained.error !== undefined) add(errnoOf(drained.error) ?? "CDH_DISK", reasonOf(drained.error));
  if (drained.receivedBytes === 0) add("CDH_DAMAGED", "no core arrived");
  if (truncatedBy === "deadline") add("CDH_DEADLINE", "the core was still arriving");
  return problems;
}
