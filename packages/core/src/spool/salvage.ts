import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, rename, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { CdhError, errnoOf, reasonOf } from "../base/errors.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { closeUnless } from "../files/regular-file.ts";
import { syncDirectory } from "../files/sync-directory.ts";
import { packingNameOf, partialNameOf, partialPath, publishedPath } from "./layout.ts";
import { salvageBundle } from "./salvage-bundle.ts";
import { quarantineTorn } from "./salvage-quarantine.ts";
import { findTaken, giveName, tryMakeOwnName } from "./salvage-twin.ts";
import { ownFilesOf } from "./spool-owner.ts";
import { HEARTBEAT_MS, readWriterMark, removeWriterMark, writerMarksDirectory } from "./writer-mark.ts";
import { readWriterNote } from "./writer-note.ts";

/** What a salvage needs. */
export interface SalvageOptions {
  coreDir: string;
  clock: Clock;
  /** Program and version, for the manifest. */
  version: string;
  /** Whether the manifest says what the program said of its own end; default true. */
  message?: boolean;
  /** Called before a wait of a few seconds, so that a person knows why. */
  onWait?: (name: string, ms: number) => void;
  signal?: AbortSignal | undefined;
}

/** What became of one torn bundle. */
export type Salvaged = { name: string; path: string } &
  /** `path` is the bundle now; not under its own name when another bundle has that. */
  (
    | { status: "published"; manifest: Manifest }
    /** Everything in it is in the published bundle of its name too, which is `path`; the torn file was removed. */
    | { status: "superseded" }
    /** `quarantined`: it can never become a bundle, and lies in quarantine. */
    | { status: "failed"; error: CdhError; quarantined?: boolean }
  );

/**
 * A composer that lives touches its file within this time. Its mark alone would do on one kernel; where the spool is
 * seen through a virtual machine's file system, a fifo's other end is not.
 */
const QUIET_MS = 2.5 * HEARTBEAT_MS;

/** Without a mark only silence tells, so it has to be a long one. */
const SILENT_MS = 30_000;

/**
 * Turn what dead composers left in the spool into published bundles. What may have a living writer is left alone; what
 * no composer laid out goes to quarantine; what fails for the disk's sake stays for the next time. Several salvages at once do not get in each other's way.
 */
export async function salvageSpool(options: SalvageOptions): Promise<Salvaged[]> {
  const { coreDir } = options;
  const names = await readdir(coreDir).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw new CdhError("CDH_DISK", `cannot look for torn bundles in ${coreDir}: ${reasonOf(error)}`, { cause: error });
  });
  const isOwn = names.length === 0 ? undefined : await ownFilesOf(coreDir);
  const results: Salvaged[] = [];
  for (const fileName of names) {
    const torn = tornNameOf(fileName);
    if (torn === undefined) continue;
    const stats = await lstat(join(coreDir, fileName)).catch(() => undefined);
    // Whoever may write into the spool could have a file of theirs published as a composer's.
    if (stats?.isFile() === true && isOwn?.(stats) !== true) continue;
    const result = await salvageOne(join(coreDir, fileName), torn, options).catch((error: unknown) => {
      if (options.signal?.aborted !== true) throw error;
    });
    if (result !== undefined) results.push(result);
    // What was done by then is told all the same.
    if (options.signal?.aborted === true) return results;
  }
  await removeOrphanedMarks(options, names);
  await removeUnfinishedPackings(options, names);
  return results;
}

interface TornName {
  name: string;
  /** True when another salvage had begun. */
  claimed: boolean;
}

/** A file that a salvage works on: `.N.<random>.salvage`. A name of its own for each attempt, so that one wins. */
const CLAIM = /^\.(.+)\.[0-9a-f]{16}\.salvage$/s;

function tornNameOf(fileName: string): TornName | undefined {
  const partial = partialNameOf(fileName);
  if (partial !== undefined) return { name: partial, claimed: false };
  const claimed = CLAIM.exec(fileName)?.[1];
  return claimed === undefined ? undefined : { name: claimed, claimed: true };
}

async function salvageOne(path: string, torn: TornName, options: SalvageOptions): Promise<Salvaged | undefined> {
  const { coreDir } = options;
  const { name } = torn;
  const published = publishedPath(coreDir, name);
  try {
    const taken = await findTaken(published, name);
    try {
      if (!(await isAbandoned(path, torn, options))) return undefined;
      const handle = await openTorn(path);
      try {
        if ((await taken?.holds(handle)) !== true)
          return await endTorn(handle, path, { ...torn, isTaken: taken !== undefined }, options);
        await unlink(path);
        await removeWriterMark(coreDir, name);
        return { name, path: published, status: "superseded" };
      } finally {
        await handle.close();
      }
    } finally {
      await taken?.close();
    }
  } catch (error) {
    // Its composer published it after all, or another salvage was faster.
    if (errnoOf(error) === "ENOENT") return undefined;
    options.signal?.throwIfAborted();
    const wrapped =
      error instanceof CdhError
        ? error
        : new CdhError(
            errnoOf(error) === "ENOSPC" ? "CDH_SPOOL_FULL" : "CDH_DISK",
            `cannot salvage ${path}: ${reasonOf(error)}`,
            { cause: error },
          );
    return { name, path, status: "failed", error: wrapped };
  }
}

/** Make a torn file one's own, end it, and publish it: under its name, or under one of its own where that is taken. */
async function endTorn(
  handle: FileHandle,
  path: string,
  torn: TornName & { isTaken: boolean },
  options: SalvageOptions,
): Promise<Salvaged> {
  const { coreDir, clock, version, signal } = options;
  const ownName = torn.isTaken ? tryMakeOwnName(torn.name) : torn.name;
  const name = ownName ?? torn.name;
  const modifiedAt = (await handle.stat()).mtimeMs;
  const claim = join(coreDir, `.${name}.${randomBytes(8).toString("hex")}.salvage`);
  // Fresh before it has its new name: nobody else may take it for a dead salvage's.
  await touch(handle, clock);
  await rename(path, claim);
  const heartbeat = setInterval(() => void touch(handle, clock).catch(() => {}), HEARTBEAT_MS);
  try {
    if (ownName === undefined)
      throw new CdhError("CDH_DAMAGED", `cannot salvage ${name}: another bundle is published under its name`);
    const note = await readWriterNote(coreDir, name);
    const mayBeRenamed = torn.claimed || torn.isTaken;
    const manifest = await salvageBundle(handle, {
      name,
      mayBeRenamed,
      modifiedAt,
      version,
      note,
      signal,
      withMessage: options.message ?? true,
    });
    await giveName(claim, publishedPath(coreDir, name));
    await syncDirectory(coreDir);
    await removeWriterMark(coreDir, torn.name);
    return { name, path: publishedPath(coreDir, name), status: "published", manifest };
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_DAMAGED") throw error;
    const { size } = await handle.stat();
    const aside = await quarantineTorn({ coreDir, name: torn.name, path: claim, sizeBytes: size }, error, clock);
    await removeWriterMark(coreDir, torn.name);
    return { name, path: aside, status: "failed", error, quarantined: true };
  } finally {
    clearInterval(heartbeat);
  }
}

/** Prove that nobody writes a torn file any more. What cannot be proven is not so. */
async function isAbandoned(path: string, torn: TornName, options: SalvageOptions): Promise<boolean> {
  const { clock, signal } = options;
  const mark = torn.claimed ? "unknown" : await readWriterMark(options.coreDir, torn.name);
  if (mark === "alive") return false;
  const { mtimeMs } = await lstat(path);
  const ageMs = clock.now() - mtimeMs;
  if (mark === "unknown" && ageMs < SILENT_MS) return false;
  if (mark === "dead" && ageMs >= QUIET_MS) return true;
  // A suspended machine makes everything look old, and a clock that was set says nothing: watch for a sign of life.
  options.onWait?.(torn.name, QUIET_MS);
  await clock.sleep(QUIET_MS, signal);
  return (await lstat(path)).mtimeMs === mtimeMs;
}

async function openTorn(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await closeUnless(await open(path, flags), (stats) => stats.isFile());
  if (handle !== undefined) return handle;
  throw new CdhError("CDH_DISK", `cannot salvage ${path}: not a regular file`);
}

async function touch(handle: FileHandle, clock: Clock): Promise<void> {
  const now = clock.now() / 1000;
  await handle.utimes(now, now);
}

/** Bundles that dead composers were packing: all that is in one is in the torn bundle of its name, or was salvaged from that. */
async function removeUnfinishedPackings({ coreDir, clock }: SalvageOptions, names: readonly string[]): Promise<void> {
  for (const fileName of names) {
    const name = packingNameOf(fileName);
    if (name === undefined) continue;
    const stats = await lstat(join(coreDir, fileName)).catch(() => undefined);
    const mark = await readWriterMark(coreDir, name);
    if (stats?.isFile() !== true || mark === "alive") continue;
    // Its composer touches the torn bundle alone.
    const torn = await lstat(partialPath(coreDir, name)).catch(() => undefined);
    const ageMs = clock.now() - Math.max(stats.mtimeMs, torn?.mtimeMs ?? 0);
    if (ageMs >= (mark === "dead" ? QUIET_MS : SILENT_MS)) await unlink(join(coreDir, fileName)).catch(() => {});
  }
}

/** Marks and notes of composers that died before or after their bundle had its file. */
async function removeOrphanedMarks({ coreDir, clock }: SalvageOptions, spoolNames: readonly string[]): Promise<void> {
  const directory = writerMarksDirectory(coreDir);
  for (const fileName of await readdir(directory).catch(() => [])) {
    const name = fileName.replace(/\.(fifo|json)$/, "");
    const stats = await lstat(join(directory, fileName)).catch(() => undefined);
    if (stats === undefined || clock.now() - stats.mtimeMs < SILENT_MS) continue;
    if (spoolNames.some((other) => tornNameOf(other)?.name === name)) continue;
    const mark = await readWriterMark(coreDir, name);
    const isLeftOver = stats.isFIFO() ? mark === "dead" : stats.isFile() && mark !== "alive";
    if (isLeftOver) await unlink(join(directory, fileName)).catch(() => {});
  }
}
