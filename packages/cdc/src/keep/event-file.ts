import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import type { Enrichment } from "@cdh/core/container/enrich";
import { writeAtomically } from "@cdh/core/files/write-atomically";
import type { Crash } from "@cdh/core/kernel/crash";
import { DIRECTORY_MODE, FILE_MODE } from "@cdh/core/spool/layout";
import { closeForWatchers, shareWithGroup } from "./share-with-group.ts";

/** What an event file says: IBM's keys in IBM's order. */
export interface CrashEvent {
  image_list: string[];
  key: string;
  exe_path: string;
  labels: Record<string, string>;
  limit_size: string;
  exe_name: string;
  pid: string;
  signal: string;
  timestamp: string;
  hostname: string;
  namespace: string | null;
  uuid: string;
}

/** Only labels that begin like this are told, as in IBM's events. */
const LABEL_PREFIX = "info.coredump";

/** Keep the labels that event files carry. */
export function eventLabels(labels: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(labels ?? {}).filter(([key]) => key.startsWith(LABEL_PREFIX)));
}

/**
 * Write `<uuid>-event.json` by rename, so that a watcher never reads half of it; the directory is made when missing.
 * @param gid group that may read it
 */
export async function writeEventFile(directory: string, event: CrashEvent, gid?: number): Promise<string> {
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  const path = join(directory, `${event.uuid}-event.json`);
  await writeAtomically(path, `${JSON.stringify(event)}\n`, {
    mode: FILE_MODE,
    flush: "content",
    prepare: async (file) => {
      if (gid !== undefined) await shareWithGroup(file, directory, gid);
    },
  });
  await closeForWatchers(path);
  return path;
}

/** Tell a crash as IBM's events do: every value as the kernel gave it, as text. */
export function describeEvent(crash: Crash, manifest: Manifest, enrichment: Enrichment): CrashEvent {
  return {
    image_list: enrichment.repoDigests,
    key: manifest.bundle,
    exe_path: crash.pathname ?? "",
    labels: eventLabels(enrichment.podLabels),
    limit_size: crash.raw.c ?? "",
    exe_name: crash.comm ?? "",
    pid: crash.raw.p ?? "",
    signal: crash.raw.s ?? "",
    timestamp: crash.raw.t ?? "",
    hostname: crash.hostname ?? "",
    namespace: manifest.pod?.namespace ?? null,
    uuid: manifest.crashId,
  };
}
