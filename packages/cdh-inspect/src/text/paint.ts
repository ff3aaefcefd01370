import { wantsColours, type CliContext } from "@cdh/core/cli";
import { COLOURS, PLAIN, type Paint } from "@cdh/core/report/paint";

export type { Paint } from "@cdh/core/report/paint";

/** Choose colours for stdout, or none. */
export function choosePaint(context: Pick<CliContext, "stdout" | "env">): Paint {
  return wantsColours(context.stdout, context.env) ? COLOURS : PLAIN;
}
