import { lstat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { CdhError, EXIT, errnoOf, reasonOf, type ErrorCode, ERROR_CODES } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { startProgress, type Progress } from "@cdh/core/progress";
import { bundleNameOf } from "@cdh/core/spool/layout";
import { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { secureSpool } from "./queue/secure-spool.ts";
import { scanSpool, type SpoolFile } from "./queue/spool-scan.ts";
import { bytesOf } from "./queue/survey.ts";
import type { Route } from "./rules/routes.ts";
import { makeBinarySender, makeImporter } from "./service.ts";
import type { UploadSettings } from "./settings.ts";
import type { Outcome, UploadEvents } from "./tell/events.ts";
import { UploadLog } from "./tell/upload-log.ts";
import { CountedPublisher } from "./tidy/publish-counted.ts";
import { salvageTorn } from "./tidy/salvage-torn.ts";
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
  /** The rules, with their stores. */
  routes: readonly Route[];
  clock: Clock;
  log: Logger;
  stderr: NodeJS.WritableStream;
  stopSignal: AbortSignal;
  version: string;
  /** Only these files, wherever they lie; empty: the spool. */
  files: readonly string[];
  /** Told how many cores of others are left for a later look: their writer may still be at them. */
  onWaiting?: (cores: number) => void;
  /** Told of the bar, so that log lines can take it out of their way. */
  onProgress?: (progress: Progress) => void;
}

/** Bundles that lie in one directory, with the state that is kept beside them. */
interface Batch {
  coreDir: string;
  files: readonly SpoolFile[];
}

/**
 * Give every bundle in the spool one chance. Trouble with the store ends the sweep, because it would be the same for
 * the next one; with rules, it ends it for those who wait for that store. A bundle's own trouble does not.
 */
export async function sweep(options: SweepOptions): Promise<SweepRow[]> {
  const batches = options.files.length > 0 ? await batchesOf(options.files) : [await lookAtSpool(options)];
  const files = batches.flatMap((batch) => batch.files);
  const rows = new Map<string, SweepRow>(files.map((file) => [file.path, skipped(file)]));
  const progress = new SweepProgress(options, files);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.stopSignal, stop.signal]);
  const events: UploadEvents = {
    progress: (file, bytes) => progress.moved(file, bytes),
    ended: (outcome) => {
      rows.set(outcome.file.path, rowOf(outcome));
      progress.moved(outcome.file, outcome.file.sizeBytes);
    },
    // With several stores only those who wait for this one are left.
    storeTrouble: () => (options.routes.length === 0 ? stop.abort() : undefined),
  };
  try {
    for (const batch of batches) if (!signal.aborted) await sendBatch(batch, options, events, signal);
    if (options.files.length === 0) {
      const binaries = makeBinarySender(options);
      await binaries.look(signal);
      await binaries.settle();
    }
  } finally {
    progress.end();
  }
  return [...rows.values()];
}

async function lookAtSpool(options: SweepOptions): Promise<Batch> {
  const { settings, clock, log, stopSignal, stderr, version } = options;
  const { coreDir, message } = settings;
  await mustBeDirectory(coreDir);
  await secureSpool(coreDir, log, true);
  await salvageTorn({ coreDir, message, clock, log, version, stopSignal, stderr });
  await new CountedPublisher({ coreDir, clock, log }).look();
  const importer = makeImporter(options);
  await importer.look();
  options.onWaiting?.(importer.waiting);
  const scan = await scanSpool(coreDir);
  new UploadLog(log).leftAlone({ ignored: [], foreign: scan.foreign });
  return { coreDir, files: scan.files };
}

async function sendBatch(
  { coreDir, files }: Batch,
  { settings, store, routes, clock, log }: SweepOptions,
  events: UploadEvents,
  signal: AbortSignal,
): Promise<void> {
  const ended = (outcome: Outcome): void => {
    uploader.queue.remove(outcome.file.fileName);
    events.ended?.(outcome);
  };
  const uploader = await Uploader.open({
    settings: { ...settings, coreDir },
    store,
    routes,
    board: settings.notices ? new NoticeBoard({ store, clock, log }) : undefined,
    clock,
    log,
    events: { ...events, ended },
  });
  {
    using _look = uploader.beginLook();
    for (const file of files) {
      await uploader.notice(file);
      uploader.pump(signal);
    }
  }
  while (uploader.queue.size > 0 && !signal.aborted) {
    if (uploader.pump(signal) === 0 && uploader.running === 0) break;
    await uploader.oneEnds();
  }
  await uploader.settle();
}

/** Add up how far all bundles are, and draw it. */
class SweepProgress {
  readonly #bar: Progress;
  readonly #sent = new Map<string, number>();
  #sentBytes = 0;

  constructor({ stderr, clock, onProgress }: SweepOptions, files: readonly SpoolFile[]) {
    const label = files.length === 1 ? "1 bundle" : `${files.length} bundles`;
    this.#bar = startProgress(stderr, clock, label, bytesOf(files));
    onProgress?.(this.#bar);
    if (files.length > 0) this.#bar.update(0);
  }

  moved(file: SpoolFile, bytes: number): void {
    this.#sentBytes += bytes - (this.#sent.get(file.path) ?? 0);
    this.#sent.set(file.path, bytes);
    this.#bar.update(this.#sentBytes);
  }

  end(): void {
    this.#bar.end();
  }
}

/** The exit status of a sweep: a store's failure counts more than a bundle's. */
export function exitStatusOf(rows: readonly SweepRow[]): number {
  if (rows.some((row) => row.status === "failed" && row.code !== undefined && ERROR_CODES[row.code] === "store"))
    return EXIT.store;
  if (rows.length === 1 && rows[0]?.code !== undefined && rows[0].status !== "uploaded")
    return EXIT[ERROR_CODES[rows[0].code]];
  return rows.every((row) => row.status === "uploaded") ? EXIT.ok : EXIT.incomplete;
}

/** Check all files before any is sent. @throws {CdhError} that names each one that cannot be */
async function batchesOf(paths: readonly string[]): Promise<Batch[]> {
  const directories = new Map<string, Map<string, SpoolFile>>();
  const problems: CdhError[] = [];
  for (const path of paths) {
    try {
      const file = await fileToSweep(path);
      const directory = dirname(file.path);
      const files = directories.get(directory) ?? new Map<string, SpoolFile>();
      directories.set(directory, files.set(file.path, file));
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      problems.push(error);
    }
  }
  const [first, ...more] = problems;
  if (first !== undefined) {
    const reasons = [first.message, ...more.map(({ message }) => message.replace(/^cannot upload /, ""))];
    const isAlone = directories.size === 0 && more.length === 0;
    throw new CdhError(first.code, reasons.join("; "), isAlone ? {} : { hint: "nothing was sent" });
  }
  return [...directories].map(([coreDir, files]) => ({ coreDir, files: [...files.values()] }));
}

async function fileToSweep(path: string): Promise<SpoolFile> {
  const full = resolve(path);
  const fileName = basename(full);
  const name = bundleNameOf(fileName);
  const stats = await lstat(full).catch((error: unknown) => {
    throw new CdhError(
      errnoOf(error) === "ENOENT" ? "CDH_NOT_FOUND" : "CDH_DISK",
      `cannot upload ${path === "" ? '""' : path}: ${reasonOf(error)}`,
      { cause: error },
    );
  });
  if (name === undefined || !stats.isFile()) {
    const what = stats.isDirectory()
      ? "a directory; --core-dir sends what lies in one"
      : "not a bundle (a regular file named N.zip)";
    throw new CdhError("CDH_BUNDLE_NOT_ZIP", `cannot upload ${path === "" ? '""' : path}: ${what}`);
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
