import type { Problem } from "@cdh/core/bundle/manifest";
import { EXIT } from "@cdh/core/errors";
import type { Outcome, Work } from "../request.ts";
import type { Learning } from "../who/learn.ts";

/** What became of the try to hand a crash on: it went, or it is kept here, with what is to be told of it. */
export type HandedOn = { outcome: Outcome } | { outcome: undefined; problems: Problem[] };

/**
 * Hand a host's crash on to the handler before us, where HOST_CRASHES=chain says so. Only then does the drain wait for
 * /proc to say whose crash it is; what the kernel writes meanwhile stays in the pipe.
 */
export async function handOn(
  work: Pick<Work, "settings" | "crash" | "input" | "exeDir" | "log">,
  learning: Pick<Learning, "place" | "process">,
): Promise<HandedOn> {
  const { settings, crash, log } = work;
  if (settings.hostCrashes !== "chain" || (await learning.place()) !== "host")
    return { outcome: undefined, problems: [] };
  const { chainCore } = await import("./chain.ts");
  const chained = await chainCore(work, await learning.process);
  if ("declined" in chained) return { outcome: undefined, problems: [chained.declined] };
  log.info("host crash handed on", { ...chained.result, comm: crash.comm, pid: crash.pid });
  return { outcome: { kind: "skipped", reason: `handed on to ${chained.result.handler}`, exitCode: EXIT.ok } };
}
