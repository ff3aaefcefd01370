import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { TruncatedBy } from "@cdh/core/bundle/manifest";
import type { ComposerSettings } from "./settings.ts";
import { measureSpace, spaceBytes } from "./space.ts";

/** Measure again after so much more was written. */
const CHECK_EVERY_BYTES = 32 * 1024 * 1024;

/**
 * Watch that the node's disk keeps its room. Nothing that waits for its upload is ever deleted to make some: the new
 * core is cut instead, and says so.
 */
export class RoomGuard {
  readonly #coreDir: string;
  readonly #settings: Pick<ComposerSettings, "maxUse" | "keepFree">;
  #used: Promise<number> | undefined;
  #nextCheckBytes = 0;
  #goneBy: TruncatedBy | undefined;

  constructor(coreDir: string, settings: Pick<ComposerSettings, "maxUse" | "keepFree">) {
    this.#coreDir = coreDir;
    this.#settings = settings;
  }

  /** Which limit was reached, once {@link isGone} has said yes. */
  get goneBy(): TruncatedBy | undefined {
    return this.#goneBy;
  }

  /** Tell whether there is no room for more than the `storedBytes` that this bundle takes already. */
  async isGone(storedBytes: number): Promise<boolean> {
    const { maxUse, keepFree } = this.#settings;
    if (maxUse !== undefined) {
      this.#used ??= spoolBytes(this.#coreDir);
      if ((await this.#used) + storedBytes >= maxUse) this.#goneBy = "maxUse";
    }
    if (storedBytes >= this.#nextCheckBytes) {
      this.#nextCheckBytes = storedBytes + CHECK_EVERY_BYTES;
      const space = await measureSpace(this.#coreDir);
      if (space !== undefined && space.availableBytes < spaceBytes(keepFree, space.totalBytes))
        this.#goneBy = "keepFree";
    }
    return this.#goneBy !== undefined;
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
