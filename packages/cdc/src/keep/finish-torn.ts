import { closeSync } from "node:fs";
import { systemClock } from "@cdh/core/clock";
import { EXIT } from "@cdh/core/errors";
import { createLogger } from "@cdh/core/log";
import { salvageSpool } from "@cdh/core/spool/salvage";
import { openComposerLog, openKernelLog } from "../self/composer-log.ts";
import { loadNative } from "../self/load-native.ts";
import { stepBack } from "../self/priority.ts";
import { VERSION } from "../version.ts";

/**
 * Go on where this process reached its bound of memory: let the crashed process go, and make a bundle of every whole
 * frame that was written. Core and pod are kept; what is left out stands in the core.
 * @returns the exit status
 */
export async function finishTorn(given: { coreDir: string; exeDir: string; message: boolean }): Promise<number> {
  const { coreDir, exeDir, message } = given;
  try {
    // The kernel's pipe: as long as it is open, the crashed process waits.
    closeSync(0);
  } catch {
    // It was closed before.
  }
  stepBack();
  const native = await loadNative();
  const log = createLogger({
    program: "cdc",
    level: "warn",
    format: "json",
    clock: systemClock,
    write: openComposerLog(exeDir, native),
  });
  log.error("memory limit reached: the bundle is finished with what was written", { coreDir });
  openKernelLog()("memory limit reached (MEMORY_MAX): the bundle is finished with what was written");
  for (const torn of await salvageSpool({ coreDir, clock: systemClock, version: VERSION, message })) {
    if (torn.status === "failed") log.error("not salvaged", { path: torn.path, error: torn.error });
    else log.warn("salvaged", { path: torn.path, status: torn.status });
  }
  return EXIT.incomplete;
}
