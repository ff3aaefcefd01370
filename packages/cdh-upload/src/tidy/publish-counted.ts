import { randomBytes } from "node:crypto";
import { rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { formatDumpInfo } from "@cdh/core/bundle/dump-info";
import type { Manifest } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import { errnoOf, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import {
  countedDirectory,
  countedOwner,
  listCounted,
  listTaken,
  readCounted,
  takeCounted,
} from "@cdh/core/spool/counted";
import { writeBundle } from "../import/write-bundle.ts";

/** A loop that has been quiet for so long is told; one that goes on is told the first time after this. */
const QUIET_MS = 30_000;
const FIRST_MS = 10 * 60_000;
/** What was told is told again after so long at the earliest: counts must not become what the limits keep out. */
const AGAIN_MS = 3_600_000;
/** Of one owner so many are told within that time, whichever places they are of: who crashes chooses places, not owners. The others wait. */
const OWNER_TOLD_MAX = 20;
/** A composer has a count for milliseconds, and waits for the others half a minute: what it has for so long it has left. */
const LEFT_MS = 120_000;
const MARK = "uploader";

/** What publishing needs. */
export interface CountedOptions {
  coreDir: string;
  clock: Clock;
  log: Logger;
}

/** Makes bundles of the counts of crashes that limits left out, so that they are told in the store, however quiet the node is afterwards. */
export class CountedPublisher {
  readonly #options: CountedOptions;
  readonly #directory: string;
  /** When a count was told last, monotonic milliseconds, by its name. */
  readonly #toldAt = new Map<string, number>();
  /** Counts that wait, by owner: said once. */
  #waiting: ReadonlyMap<string, number> = new Map();

  constructor(options: CountedOptions) {
    this.#options = options;
    this.#directory = countedDirectory(options.coreDir);
  }

  /** Look once. Its own trouble is logged, never thrown. @returns how many were published */
  async look(): Promise<number> {
    const { log } = this.#options;
    let published = 0;
    try {
      for (const path of await this.#takeDue()) {
        const manifest = await readCounted(path);
        if (manifest === undefined) log.warn("a count of crashes is damaged, and removed", { path });
        else if (await publish(this.#options.coreDir, manifest)) published += 1;
        await rm(path, { force: true });
      }
    } catch (error) {
      if (errnoOf(error) !== "ENOENT")
        log.warn("cannot tell of crashes that were only counted", { reason: reasonOf(error) });
    }
    return published;
  }

  async #takeDue(): Promise<string[]> {
    const { clock } = this.#options;
    // What an uploader that was killed had taken.
    const taken = await listTaken(this.#directory, MARK);
    for (const path of await listTaken(this.#directory, "composer")) {
      const isLeft = clock.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? clock.now()) > LEFT_MS;
      const mine = `${path}.${MARK}`;
      if (
        isLeft &&
        (await rename(path, mine)
          .then(() => true)
          .catch(() => false))
      )
        taken.push(mine);
    }
    for (const name of await this.#due()) {
      const path = await takeCounted(this.#directory, basename(name), `${MARK}-${randomBytes(4).toString("hex")}`);
      if (path === undefined) continue;
      this.#toldAt.set(name, clock.monotonic());
      taken.push(path);
    }
    return taken;
  }

  /** Names of the counts whose time has come, of each owner as many as may be told: those of most crashes first. */
  async #due(): Promise<string[]> {
    const { clock, log } = this.#options;
    const toldOf = new Map<string, number>();
    for (const [name, at] of this.#toldAt) {
      if (clock.monotonic() - at >= AGAIN_MS) this.#toldAt.delete(name);
      else toldOf.set(countedOwner(name), (toldOf.get(countedOwner(name)) ?? 0) + 1);
    }
    const due: { name: string; count: number }[] = [];
    for (const name of await listCounted(this.#directory)) {
      const manifest = await readCounted(join(this.#directory, name));
      if (manifest === undefined || this.#isDue(name, manifest))
        due.push({ name, count: manifest?.counted?.count ?? Number.POSITIVE_INFINITY });
    }
    const chosen: string[] = [];
    const waiting = new Map<string, number>();
    for (const { name } of due.toSorted((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))) {
      const owner = countedOwner(name);
      const told = toldOf.get(owner) ?? 0;
      toldOf.set(owner, told + 1);
      if (told < OWNER_TOLD_MAX) chosen.push(name);
      else waiting.set(owner, (waiting.get(owner) ?? 0) + 1);
    }
    for (const [owner, count] of waiting) {
      if (this.#waiting.get(owner) === undefined)
        log.info("counts of crashes wait: enough of their owner were told within the hour", { owner, waiting: count });
    }
    this.#waiting = waiting;
    return chosen;
  }

  /** A time in the future, from a clock that was set back, must not keep a count for ever. */
  #isDue(name: string, { counted }: Manifest): boolean {
    const { clock } = this.#options;
    const toldAt = this.#toldAt.get(name);
    if (toldAt !== undefined) return false;
    const since = (moment = ""): number => Math.abs(clock.now() - Date.parse(moment));
    return !(since(counted?.last) < QUIET_MS) || !(since(counted?.first) < FIRST_MS);
  }
}

async function publish(coreDir: string, manifest: Manifest): Promise<boolean> {
  const { crashId, process: crashed, signal, node, restricted, counted } = manifest;
  const name = `${crashId}-counted`;
  const mtime = new Date(manifest.crashedAt);
  const entry = { name: `${name}.core`, compression: "none" as const };
  const dumpInfo = formatDumpInfo({
    uuid: crashId,
    dump_file: entry.name,
    timestamp: String(Math.floor(mtime.getTime() / 1000)),
    hostname: crashed.hostname ?? "",
    exe: crashed.comm ?? "",
    real_pid: String(crashed.pidInNamespace ?? ""),
    signal: String(signal.number),
    node_hostname: node.nodeName ?? "",
    path: (crashed.exe ?? "").replaceAll("/", "!"),
    restricted: restricted === undefined ? undefined : String(restricted),
  });
  // Readers that know of no counts know of these.
  const others = { count: (counted?.count ?? 1) - 1, since: counted?.first ?? manifest.crashedAt };
  return await writeBundle(coreDir, {
    name,
    mtime,
    dumpInfo: { name: `${name}-dump-info.json`, bytes: Buffer.from(dumpInfo) },
    core: nothing(),
    entry,
    observe: () => {},
    describe: async ({ sizeBytes, storedBytes }) => ({
      ...manifest,
      bundle: `${name}.zip`,
      core: { ...manifest.core, entry: entry.name, compression: entry.compression, sizeBytes, storedBytes },
      suppressed: others,
    }),
  });
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // No core was taken.
}
