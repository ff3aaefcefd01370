import type { Manifest } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { isMemoryLost } from "@cdh/core/report/completeness";
import { salvageSpool } from "@cdh/core/spool/salvage";
import { formatDuration } from "@cdh/core/units";

/** What a salvage at the uploader's start needs. */
export interface SalvageTornOptions {
  coreDir: string;
  /** Whether manifests say what programs said of their end. */
  message: boolean;
  clock: Clock;
  log: Logger;
  version: string;
  stopSignal: AbortSignal;
  onSalvaged?: (manifest: Manifest) => void;
  /** Where a person reads why nothing happens yet; absent in the daemon. */
  stderr?: NodeJS.WritableStream;
}

/** Publish what dead composers left in the spool, and log what became of it. Its own trouble never ends the uploader. */
export async function salvageTorn(options: SalvageTornOptions): Promise<void> {
  const { coreDir, message, clock, log, stopSignal } = options;
  try {
    const results = await salvageSpool({
      coreDir,
      message,
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
        const { manifest } = result;
        const { crashId, core, problems, process: crashed } = manifest;
        const { detail } = problems.find(({ code }) => code === "CDH_SALVAGED") ?? {};
        const fields = {
          path,
          crashId,
          pid: crashed.pid ?? crashed.pidInNamespace,
          comm: crashed.comm,
          sizeBytes: core.sizeBytes,
          complete: core.complete,
          detail,
        };
        if (isMemoryLost(manifest)) log.error("a composer died before it had kept any memory of a crash", fields);
        else log.warn("salvaged what a dead composer left", fields);
        options.onSalvaged?.(manifest);
      }
    }
  } catch (error) {
    if (!stopSignal.aborted) log.error("cannot salvage", { coreDir, reason: reasonOf(error) });
  }
}
