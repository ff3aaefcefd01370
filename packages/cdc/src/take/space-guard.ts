import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { TruncatedBy } from "@cdh/core/bundle/manifest";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { giveUpSpooled } from "../binaries/spooled.ts";
import { spaceBytes } from "./free-space.ts";

/** Measure again after so much more was written, or earlier where little room is left. */
const CHECK_EVERY_BYTES = 32 * 1024 * 1024;

/** The disk has no more room to give to this core, though it is not full. */
export class SpaceGone extends Error {
  readonly by: TruncatedBy;

  constructor(by: TruncatedBy) {
    super(`no more room: ${by}`);
    this.by = by;
  }
}

/**
 * Watch that the node's disk keeps its room. Nothing that waits for its upload is ever deleted to make some: the new
 * core is cut instead, and says so.
 */
export class SpaceGuard {
  readonly #coreDir: string;
  readonly #settings: Pick<ComposerSettings, "maxUse" | "keepFree">;
  /** What may still be written under MAX_USE. */
  #leftInSpool: Promise<number> | undefined;
  #leftOnDisk = 0;
  #roomBytes: number | undefined;
  #admittedBytes = 0;
  #nextLookBytes = 0;

  constructor(coreDir: string, settings: Pick<ComposerSettings, "maxUse" | "keepFree">) {
    this.#coreDir = coreDir;
    this.#settings = settings;
  }

  /** What may still be written, as far as it was measured: under MAX_USE and above KEEP_FREE, and on the disk at all. */
  get roomBytes(): number | undefined {
    return this.#roomBytes;
  }

  /** Measure the room. */
  async look(): Promise<void> {
    this.#leftInSpool ??= this.#measureSpool();
    await this.#leftInSpool;
    await this.#look();
  }

  /**
   * Ask for room for so many more bytes of core.
   * @throws {SpaceGone} when MAX_USE or KEEP_FREE would be overstepped
   */
  async admit(bytes: number): Promise<void> {
    this.#leftInSpool ??= this.#measureSpool();
    if (this.#admittedBytes + bytes > (await this.#leftInSpool)) throw new SpaceGone("maxUse");
    if (this.#admittedBytes >= this.#nextLookBytes) await this.#look();
    // A core comes before the files of programs that wait to be sent.
    if (this.#leftOnDisk < bytes && giveUpSpooled(this.#coreDir)) await this.#look();
    this.#leftOnDisk -= bytes;
    if (this.#leftOnDisk < 0) throw new SpaceGone("keepFree");
    this.#admittedBytes += bytes;
  }

  async #look(): Promise<void> {
    const { keepFree } = this.#settings;
    const space = await tryMeasureSpace(this.#coreDir);
    const kept = space === undefined ? 0 : spaceBytes(keepFree, space.totalBytes);
    // Without KEEP_FREE they give way before the disk is full.
    if (space !== undefined && kept === 0 && space.availableBytes < 2 * CHECK_EVERY_BYTES) giveUpSpooled(this.#coreDir);
    // Without KEEP_FREE the disk itself says when it is full.
    this.#leftOnDisk = space === undefined || kept === 0 ? Number.POSITIVE_INFINITY : space.availableBytes - kept;
    const inSpool = (await this.#leftInSpool) ?? Number.POSITIVE_INFINITY;
    this.#roomBytes =
      space === undefined
        ? undefined
        : Math.max(0, Math.min(inSpool - this.#admittedBytes, this.#leftOnDisk, space.availableBytes));
    this.#nextLookBytes = this.#admittedBytes + Math.min(CHECK_EVERY_BYTES, Math.max(0, this.#leftOnDisk / 4));
  }

  async #measureSpool(): Promise<number> {
    const { maxUse } = this.#settings;
    return maxUse === undefined ? Number.POSITIVE_INFINITY : maxUse - (await spoolBytes(this.#coreDir));
  }
}

/** Add up what the spool's files take: bundles, those being written, and what is quarantined. */
async function spoolBytes(coreDir: string): Promise<number> {
  let sum = 0;
  for (const directory of [coreDir, join(coreDir, "quarantine")]) {
    const names = await readdir(directory).catch(() => []);
    const sizes = await Promise.all(
      names.map((name) =>
        stat(join(directory, name)).then(
          (file) => (file.isFile() ? file.blocks * 512 : 0),
          () => 0,
        ),
      ),
    );
    sum += sizes.reduce((total, size) => total + size, 0);
  }
  return sum;
}
