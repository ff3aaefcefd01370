import { closeSync, futimesSync, openSync, type Stats } from "node:fs";
import { lstat, mkdir, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@cdh/core/errors";
import { DIRECTORY_MODE, FILE_MODE } from "@cdh/core/spool/layout";

/** Crashes of one key, and of all, that are counted without the lock; beyond them none is kept so. */
const PLACES_MAX = 64;
const FILES_MAX = 1024;
/** Longer than a composer takes from making a file to setting its time, milliseconds. */
const MAKING_MS = 60_000;

/** A limit of a crash, and what the file of counts says of it. */
export interface UnlockedLimit {
  /** 32 hexadecimal digits. */
  key: string;
  count: number;
  windowMs: number;
  /** How many bundles were kept inside the window, as the file says. */
  kept: number;
}

/**
 * What was kept by composers that did not get the lock of the counts in time: a file for each, whose name only one of
 * them can make, so that no more are kept than the limit leaves. Its time of change says when it matters no more.
 */
export class UnlockedCounts {
  readonly #directory: string;
  readonly #nowMs: number;

  /** @param countsPath path of the file of counts; @param nowMs epoch milliseconds */
  constructor(countsPath: string, nowMs: number) {
    this.#directory = `${countsPath}.unlocked`;
    this.#nowMs = nowMs;
  }

  /**
   * Take one of the places that each limit has left.
   * @returns the index of the limit that has none left; -1 when the crash may be kept
   * @throws what the file system throws
   */
  async take(limits: readonly UnlockedLimit[]): Promise<number> {
    await mkdir(this.#directory, { recursive: true, mode: DIRECTORY_MODE });
    const isFull = (await readdir(this.#directory)).length >= FILES_MAX;
    const taken: string[] = [];
    for (const [index, limit] of limits.entries()) {
      // Without a window nothing is remembered, and without a bound nothing is bounded.
      if (limit.windowMs === 0 && limit.kept < limit.count) continue;
      const path = isFull ? undefined : await this.#takeOne(limit);
      if (path !== undefined) taken.push(path);
      else {
        for (const mine of taken) await unlink(mine).catch(() => {});
        return index;
      }
    }
    return -1;
  }

  async #takeOne({ key, count, windowMs, kept }: UnlockedLimit): Promise<string | undefined> {
    const places = Math.min(count - kept, PLACES_MAX);
    for (let place = 0; place < places; place += 1) {
      const path = join(this.#directory, `${key}.${place}`);
      if (await this.#tryMake(path, this.#nowMs + windowMs)) return path;
    }
    return undefined;
  }

  async #tryMake(path: string, untilMs: number): Promise<boolean> {
    if (tryMakeUntil(path, untilMs)) return true;
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || !this.#isOver(stats)) return false;
    await unlink(path).catch(() => {});
    return tryMakeUntil(path, untilMs);
  }

  /** One that another composer is making has no time yet but that of its making, and is not over. */
  #isOver({ mtimeMs, ctimeMs }: Stats): boolean {
    const isBeingMade = mtimeMs === ctimeMs && mtimeMs > this.#nowMs - MAKING_MS;
    return mtimeMs <= this.#nowMs && !isBeingMade;
  }

  /** List until when what was kept without the lock counts, by key, and forget what is over. Only under the lock. */
  async list(): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>();
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names.slice(0, 2 * FILES_MAX)) {
      const path = join(this.#directory, name);
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) continue;
      if (this.#isOver(stats)) await unlink(path).catch(() => {});
      else {
        const key = name.replace(/\.\d+$/, "");
        found.set(key, [...(found.get(key) ?? []), stats.mtimeMs]);
      }
    }
    return found;
  }
}

/** Make a file that is not there, and set its time. @returns whether it was not there */
function tryMakeUntil(path: string, untilMs: number): boolean {
  let fd: number;
  try {
    fd = openSync(path, "wx", FILE_MODE);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
  try {
    futimesSync(fd, untilMs / 1000, untilMs / 1000);
    return true;
  } finally {
    closeSync(fd);
  }
}
