import { readCoreFacts } from "@cdh/core/elf/random-access";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";
import { openRegularFile } from "@cdh/core/store/digest";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { readCoreAttributes } from "./core-attributes.ts";
import { parsePlainCoreName, parseSystemdCoreName, type CoreNameFacts } from "./core-name.ts";
import { detectEncoding } from "./core-stream.ts";
import { importCore, type ForeignCore, type ImportContext } from "./import-core.ts";

/** A core that nobody has written to for so long is taken if it is whole … */
const QUIET_MS = 5000;
/** … and after so long even if it is not: its writer is gone. */
const ABANDONED_MS = 10 * 60_000;

/** Where cores of others are found. */
export interface ImporterOptions extends ImportContext {
  /** Names of plain cores in CORE_DIR, such as `core*`; undefined for none. */
  watchPattern: string | undefined;
  /** systemd-coredump's directory; it is only read. */
  systemdDir: string | undefined;
  clock: Clock;
  log: Logger;
}

/** Turn cores that others wrote into bundles in the spool, one at a time. What happens to them there is as for any bundle. */
export class Importer {
  readonly #options: ImporterOptions;
  readonly #statePath: string;
  /** What was sent from systemd's directory, by file name: it cannot be removed there. */
  #sent: Map<string, string> | undefined;
  /** Files that are no cores, by name and content's time. */
  readonly #refused = new Set<string>();

  constructor(options: ImporterOptions) {
    this.#options = options;
    this.#statePath = join(options.coreDir, STATE_DIRECTORY, "systemd-sent.json");
  }

  /** Whether there is anything to look for. */
  get isUsed(): boolean {
    return this.#options.watchPattern !== undefined || this.#options.systemdDir !== undefined;
  }

  /** Look once, and make bundles of what is ready. @returns how many were published */
  async look(): Promise<number> {
    return (await this.#lookAtPlain()) + (await this.#lookAtSystemd());
  }

  async #lookAtPlain(): Promise<number> {
    const { coreDir, watchPattern } = this.#options;
    if (watchPattern === undefined) return 0;
    const pattern = globOf(watchPattern);
    const isMine = (name: string): boolean => pattern.test(name) && !name.startsWith(".") && !name.endsWith(".zip");
    let count = 0;
    for (const core of await this.#candidates(coreDir, isMine, parsePlainCoreName)) {
      if (!(await this.#import(core))) continue;
      count += 1;
      // The bundle is published and flushed; the core is in it.
      await rm(core.path, { force: true });
    }
    return count;
  }

  async #lookAtSystemd(): Promise<number> {
    const { systemdDir } = this.#options;
    if (systemdDir === undefined) return 0;
    this.#sent ??= await readSent(this.#statePath);
    const isMine = (name: string): boolean => parseSystemdCoreName(name) !== undefined;
    const candidates = await this.#candidates(systemdDir, isMine, (name) => parseSystemdCoreName(name) ?? {});
    const there = new Set(candidates.map((core) => core.fileName));
    let changed = false;
    for (const name of this.#sent.keys()) if (!there.has(name)) changed = this.#sent.delete(name) || changed;
    let count = 0;
    for (const core of candidates) {
      if (this.#sent.get(core.fileName) === fingerprint(core)) continue;
      if (!(await this.#import({ ...core, attributes: await readCoreAttributes(core.path).catch(() => ({})) })))
        continue;
      this.#sent.set(core.fileName, fingerprint(core));
      await writeStateFile(this.#statePath, { sent: Object.fromEntries(this.#sent) });
      changed = false;
      count += 1;
    }
    if (changed) await writeStateFile(this.#statePath, { sent: Object.fromEntries(this.#sent) });
    return count;
  }

  async #candidates(
    directory: string,
    isMine: (name: string) => boolean,
    nameFacts: (name: string) => CoreNameFacts,
  ): Promise<ForeignCore[]> {
    const names = await readdir(directory).catch((error: unknown) => {
      this.#options.log.debug("cannot look for cores", { directory, reason: reasonOf(error) });
      return [];
    });
    const cores: ForeignCore[] = [];
    for (const fileName of names.filter(isMine)) {
      const path = join(directory, fileName);
      const stats = await lstat(path).catch(() => undefined);
      if (stats?.isFile() !== true || stats.size === 0) continue;
      cores.push({
        path,
        fileName,
        sizeBytes: stats.size,
        modifiedAt: stats.mtimeMs,
        named: nameFacts(fileName),
        attributes: {},
      });
    }
    return cores;
  }

  async #import(core: ForeignCore): Promise<boolean> {
    const { clock, log } = this.#options;
    const mark = `${core.fileName} ${fingerprint(core)}`;
    const quietMs = clock.now() - core.modifiedAt;
    if (quietMs < QUIET_MS || this.#refused.has(mark)) return false;
    try {
      const state = await this.#judge(core);
      if (state === "noCore") {
        this.#refused.add(mark);
        log.info("left alone: not a core", { path: core.path });
        return false;
      }
      if (state === "incomplete" && quietMs < ABANDONED_MS) return false;
      const { name, published } = await importCore(core, this.#options);
      log.info("made a bundle of a core", {
        path: core.path,
        bundle: `${name}.zip`,
        sizeBytes: core.sizeBytes,
        published,
      });
      return true;
    } catch (error) {
      log.warn("cannot make a bundle of a core", { path: core.path, reason: reasonOf(error) });
      return false;
    }
  }

  /** A plain core says itself how long it must be; a compressed one can only be taken as it is. */
  async #judge(core: ForeignCore): Promise<"ready" | "incomplete" | "noCore"> {
    const handle = await openRegularFile(core.path);
    try {
      if ((await detectEncoding(handle)) !== "plain") return "ready";
      const read = async (offset: number, length: number): Promise<Uint8Array> => {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
        return buffer.subarray(0, bytesRead);
      };
      const facts = await readCoreFacts(read, { sizeBytes: core.sizeBytes });
      if (!facts.isCore) return "noCore";
      return facts.complete ? "ready" : "incomplete";
    } finally {
      await handle.close();
    }
  }
}

async function readSent(path: string): Promise<Map<string, string>> {
  const state = await readStateFile(path);
  const sent = typeof state === "object" && state !== null && "sent" in state ? state.sent : undefined;
  if (typeof sent !== "object" || sent === null) return new Map();
  return new Map(Object.entries(sent).filter((pair): pair is [string, string] => typeof pair[1] === "string"));
}

function fingerprint(core: ForeignCore): string {
  return `${core.sizeBytes} ${core.modifiedAt}`;
}

/** Read `core*` or `core.*,*.dump`: stars, question marks, several with commas. */
function globOf(patterns: string): RegExp {
  const alternatives = patterns
    .split(",")
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== "")
    .map((pattern) =>
      pattern
        .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
        .replaceAll("*", ".*")
        .replaceAll("?", "."),
    );
  return new RegExp(`^(?:${alternatives.join("|")})$`, "s");
}
