import type { Clock } from "@cdh/core/clock";
import { CdhError, EXIT, errnoOf, reasonOf, type ErrorCode, ERROR_CODES } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { bundleNameOf } from "@cdh/core/spool/layout";
import { startProgress } from "@cdh/core/progress";
import type { ObjectStore } from "@cdh/core/store/store";
import { lstat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { salvageTorn } from "./salvage-torn.ts";
import { makeImporter } from "./service.ts";
import type { UploadSettings } from "./settings.ts";
import { scanSpool, type SpoolFile } from "./spool-scan.ts";
import type { Outcome } from "./events.ts";
import { Uploader } from "./uploader.ts";

/** What became of one bundle in a sweep. */
export interface SweepRow {
  bundle: string;
  sizeBytes: number;
  status: "uploaded" | "failed" | "quarantined" | "unfinished" | "skipped";
  location?: string;
  sha256?: string;
  verifiedBy?: string;
  alreadyThere?: boolean;
  code?: ErrorCode;
  reason?: string;
  durationMs?: number;
}

/** What a sweep needs. */
export interface SweepOptions {
  settings: UploadSettings;
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  stderr: NodeJS.WritableStream;
  stopSignal: AbortSignal;
  version: string;
  /** Only this file, wherever it lies. */
  file?: string;
}

/**
 * Give every bundle in the spool one chance. Trouble with the store ends the sweep, because it would be the same for
 * the next one; a bundle's own trouble does not.
 */
export async function sweep(options: SweepOptions): Promise<SweepRow[]> {
  const { settings, store, clock, log, stopSignal } = options;
  const only = options.file === undefined ? undefined : await fileToSweep(options.file);
  const coreDir = only === undefined ? settings.coreDir : dirname(only.path);
  await mustBeDirectory(coreDir);
  if (only === undefined) {
    await salvageTorn({ coreDir, clock, log, version: options.version, stopSignal, stderr: options.stderr });
    await makeImporter(options).look();
  }
  const files = only === undefined ? (await scanSpool(coreDir)).files : [only];
  const rows = new Map<string, SweepRow>(files.map((file) => [file.fileName, skipped(file)]));
  const sent = new Map<string, number>();
  let sentBytes = 0;
  const moved = (file: SpoolFile, bytes: number): void => {
    sentBytes += bytes - (sent.get(file.fileName) ?? 0);
    sent.set(file.fileName, bytes);
    progress.update(sentBytes);
  };
  const total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const progress = startProgress(options.stderr, clock, `${files.length} bundles`, total);
  const stop = new AbortController();
  const signal = AbortSignal.any([stopSignal, stop.signal]);
  const uploader = await Uploader.open({
    settings: { ...settings, coreDir },
    store,
    clock,
    log,
    events: {
      progress: moved,
      ended: (outcome) => {
        rows.set(outcome.file.fileName, rowOf(outcome));
        moved(outcome.file, outcome.file.sizeBytes);
        uploader.queue.remove(outcome.file.fileName);
      },
      storeTrouble: () => stop.abort(),
    },
  });
  try {
    for (const file of files) {
      await uploader.notice(file);
      uploader.pump(signal);
    }
    while (uploader.queue.size > 0 && !signal.aborted) {
      if (uploader.pump(signal) === 0 && uploader.running === 0) break;
      await uploader.oneEnds();
    }
    await uploader.settle();
  } finally {
    progress.end();
  }
  return [...rows.values()];
}

/** The exit status of a sweep: a store's failure counts more than a bundle's. */
export function exitStatusOf(rows: readonly SweepRow[]): number {
  if (rows.some((row) => row.status === "failed" && row.code !== undefined && ERROR_CODES[row.code] === "store"))
    return EXIT.store;
  if (rows.length === 1 && rows[0]?.code !== undefined && rows[0].status !== "uploaded")
    return EXIT[ERROR_CODES[rows[0].code]];
  return rows.every((row) => row.status === "uploaded") ? EXIT.ok : EXIT.incomplete;
}

async function fileToSweep(path: string): Promise<SpoolFile> {
  const full = resolve(path);
  const fileName = basename(full);
  const name = bundleNameOf(fileName);
  const stats = await lstat(full).catch((error: unknown) => {
    throw new CdhError(
      errnoOf(error) === "ENOENT" ? "CDH_NOT_FOUND" : "CDH_DISK",
      `cannot upload ${path}: ${reasonOf(error)}`,
      { cause: error },
    );
  });
  if (name === undefined || !stats.isFile()) {
    throw new CdhError("CDH_BUNDLE_NOT_ZIP", `cannot upload ${path}: not a bundle (a regular file named N.zip)`);
  }
  return { name, fileName, path: full, sizeBytes: stats.size, modifiedAt: stats.mtimeMs, changedAt: stats.ctimeMs };
}

async function mustBeDirectory(path: string): Promise<void> {
  const stats = await lstat(path).catch((error: unknown) => {
    throw new CdhError(
      errnoOf(error) === "ENOENT" ? "CDH_NOT_FOUND" : "CDH_DISK",
      `cannot look at the spool ${path}: ${reasonOf(error)}`,
      {
        cause: error,
        hint: "set CORE_DIR or --core-dir",
      },
    );
  });
  if (!stats.isDirectory() && !stats.isSymbolicLink())
    throw new CdhError("CDH_CONFIG_INVALID", `the spool ${path} is no directory`);
}

function skipped(file: SpoolFile): SweepRow {
  return {
    bundle: file.fileName,
    sizeBytes: file.sizeBytes,
    status: "skipped",
    reason: "not tried: the sweep ended before",
  };
}

function rowOf(outcome: Outcome): SweepRow {
  const { file } = outcome;
  const base = { bundle: file.fileName, sizeBytes: file.sizeBytes, durationMs: Math.round(outcome.durationMs) };
  switch (outcome.status) {
    case "uploaded": {
      const { location, put } = outcome.uploaded;
      return {
        ...base,
        status: "uploaded",
        location,
        sha256: put.sha256,
        verifiedBy: put.verifiedBy,
        alreadyThere: put.alreadyThere,
      };
    }
    case "retried":
      return { ...base, status: "failed", ...why(outcome.error) };
    case "quarantined":
      return { ...base, status: "quarantined", ...why(outcome.error) };
    case "unfinished":
      return { ...base, status: "unfinished", ...why(outcome.error) };
    case "gone":
      return { ...base, status: "skipped", reason: "it is gone" };
    case "stopped":
      return { ...base, status: "skipped", reason: "stopped" };
  }
}

function why(error: unknown): { code?: ErrorCode; reason: string } {
  return error instanceof CdhError ? { code: error.code, reason: error.message } : { reason: reasonOf(error) };
}
