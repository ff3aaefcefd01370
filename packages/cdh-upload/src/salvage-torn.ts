import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { salvageSpool } from "@cdh/core/spool/salvage";
import { formatDuration } from "@cdh/core/units";

/** What a salvage at the uploader's start needs. */
export interface SalvageTornOptions {
  coreDir: string;
  clock: Clock;
  log: Logger;
  version: string;
  stopSignal: AbortSignal;
  /** Where a person reads why nothing happens yet; absent in the daemon. */
  stderr?: NodeJS.WritableStream;
}

/** Publish what dead composers left in the spool, and log what became of it. Its own trouble never ends the uploader. */
export async function salvageTorn(options: SalvageTornOptions): Promise<void> {
  const { coreDir, clock, log, stopSignal } = options;
  try {
    const results = await salvageSpool({
      coreDir,
      clock,
      version: `cdh-upload ${options.version}`,
      signal: stopSignal,
      onWait: (name, ms) => {
        options.stderr?.write(`watching ${name} for ${formatDuration(ms)}: its composer seems to be dead\n`);
        log.debug("watching a torn bundle for a sign of life", { name, waitMs: ms });
      },
    });
    for (const result of results) {
      const { path } = result;
      if (result.status === "failed") log.warn("cannot salvage", { path, reason: result.error.message });
      else if (result.status === "superseded") log.warn("removed a torn bundle that a published one holds", { path });
      else {
        const { crashId, core, problems } = result.manifest;
        const { sizeBytes, complete } = core;
        const { detail } = problems.find(({ code }) => code === "CDH_SALVAGED") ?? {};
        log.warn("salvaged what a dead composer left", { path, crashId, sizeBytes, complete, detail });
      }
    }
  } catch (error) {
    if (!stopSignal.aborted) log.error("cannot salvage", { coreDir, reason: reasonOf(error) });
  }
}
