import { join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { EXIT, reasonOf } from "@cdh/core/errors";
import type { Outcome, Work } from "../request.ts";
import { describeEvent, writeEventFile } from "./event-file.ts";
import type { FinishedBundle } from "./finish.ts";
import type { OpenBundle } from "./open-bundle.ts";

/** What publishing needs. */
type Given = Pick<Work, "crash" | "settings" | "exeDir" | "log" | "limit">;

/**
 * Give the bundle its name, then write the event file, where it is asked for.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
 */
export async function publish(given: Given, { file }: OpenBundle, finished: FinishedBundle): Promise<Outcome> {
  const { manifest } = finished;
  await file.publish();
  await given.limit.watch(writeEvent(given, finished));
  return { kind: "published", path: file.path, manifest, exitCode: exitCodeFor(manifest) };
}

function exitCodeFor({ core }: Manifest): number {
  if (core.truncatedBy === "deadline") return EXIT.deadline;
  if (core.truncatedBy === "keptEnough") return EXIT.ok;
  return core.complete ? EXIT.ok : EXIT.incomplete;
}

/** The bundle is safe already: a failure is only noted. */
async function writeEvent(given: Given, { manifest, enrichment }: FinishedBundle): Promise<void> {
  const { crash, settings, exeDir, log } = given;
  if (!settings.coreEvents) return;
  const directory = settings.eventDirectory ?? join(exeDir, "events");
  try {
    const gid = manifest.restricted === true ? undefined : settings.spoolGroup;
    await writeEventFile(directory, describeEvent(crash, manifest, enrichment), gid);
  } catch (error) {
    log.error("event file not written", { crashId: manifest.crashId, directory, reason: reasonOf(error) });
  }
}
