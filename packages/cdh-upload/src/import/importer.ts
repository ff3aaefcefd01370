import { lstat, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";
import { readCoreFacts } from "@cdh/core/elf/random-access";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { openRegularFile } from "@cdh/core/files/regular-file";
import { isDecodeError } from "@cdh/core/foreign/core-encoding";
import { parseCoreName, parseSystemdCoreName } from "@cdh/core/foreign/core-name";
import type { Logger } from "@cdh/core/log";
import { PLAIN_DIRECTORY, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";
import { readCoreAttributes, type CoreAttributes } from "./core-attributes.ts";
import { findCoreOwner, type CoreOwner, type OwnerOptions } from "./core-owner.ts";
import { detectEncoding, readStart } from "./core-stream.ts";
import { importCore, UnfinishedCore, type ForeignCore, type ImportContext, type ImportedCore } from "./import-core.ts";

/** A core that nobody has written to for so long is taken if it is whole … */
const QUIET_MS = 5000;
/** … and after so long even if it is not: its writer is gone. */
const ABANDONED_MS = 10 * 60_000;
/** What cannot be made a bundle now, on a full disk for one, is not read again and again for nothing. */
const RETRY = { baseMs: 30_000, capMs: 30 * 60_000 };
/** How a core begins. @see elf(5) */
const ELF_MAGIC = "\u007fELF";

interface KnownFile {
  fingerprint: string;
  /** Monotonic milliseconds: since when it has been so, and when it is worth another try. */
  since: number;
  notBefore: number;
  failures: number;
  undecodable: boolean;
}

/** Where cores of others are found. */
export interface ImporterOptions extends ImportContext {
  /** Names of plain cores in CORE_DIR, such as `core*`; undefined for none. */
  watchPattern: string | undefined;
  /** systemd-coredump's directory; it is only read. */
  systemdDir: string | undefined;
  /** Where the owners of its cores are looked for. */
  owners: OwnerOptions;
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
  /** What is known of each file as it is now, by path. */
  readonly #known = new Map<string, KnownFile>();

  constructor(options: ImporterOptions) {
    this.#options = options;
    this.#statePath = join(options.coreDir, STATE_DIRECTORY, "systemd-sent.json");
  }

  /** Cores that the last look left for a later one: their writer may still be at them. */
  waiting = 0;

  /** Whether there is anything to look for. */
  get isUsed(): boolean {
    return this.#options.watchPattern !== undefined || this.#options.systemdDir !== undefined;
  }

  /** Look once, and make bundles of what is ready. @returns how many were published */
  async look(): Promise<number> {
    this.waiting = 0;
    return (await this.#lookAtPlain()) + (await this.#lookAtSystemd());
  }

  async #lookAtPlain(): Promise<number> {
    const { coreDir, watchPattern } = this.#options;
    if (watchPattern === undefined) return 0;
    const pattern = globOf(watchPattern);
    const isMine = (name: string): boolean => pattern.test(name) && !name.startsWith(".") && !name.endsWith(".zip");
    const places = [coreDir, join(coreDir, PLAIN_DIRECTORY)];
    const cores = await Promise.all(places.map((place) => this.#candidates(place, isMine)));
    let count = 0;
    for (const { ownerUid, ...core } of cores.flatMap((found) => found ?? [])) {
      core.kernelOwner = ownerUid;
      if (!(await this.#import(core))) continue;
      count += 1;
      // The bundle is published and flushed; the core is in it, unless somebody wrote to it meanwhile.
      const now = await lstat(core.path).catch(() => undefined);
      if (now === undefined || `${now.size} ${now.mtimeMs}` === fingerprint(core)) await rm(core.path, { force: true });
    }
    return count;
  }

  async #lookAtSystemd(): Promise<number> {
    const { systemdDir } = this.#options;
    if (systemdDir === undefined) return 0;
    this.#sent ??= await readSent(this.#statePath);
    const isMine = (name: string): boolean => parseSystemdCoreName(name) !== undefined;
    const candidates = await this.#candidates(systemdDir, isMine);
    // A directory that cannot be read for the moment has not lost what was sent of it.
    if (candidates === undefined) return 0;
    const there = new Set(candidates.map((core) => core.fileName));
    let changed = false;
    for (const name of this.#sent.keys()) if (!there.has(name)) changed = this.#sent.delete(name) || changed;
    let count = 0;
    for (const core of candidates) {
      if (this.#sent.get(core.fileName) === fingerprint(core)) continue;
      const attributes: CoreAttributes = await readCoreAttributes(core.path).catch(() => ({}));
      const findOwner = (): Promise<CoreOwner> => {
        const hostname = attributes.hostname ?? core.named.hostname;
        return findCoreOwner({ fileName: core.fileName, hostname }, this.#options.owners);
      };
      if (!(await this.#import({ ...core, attributes }, findOwner))) continue;
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
  ): Promise<(ForeignCore & { ownerUid: number })[] | undefined> {
    const names = await readdir(directory).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      this.#options.log.debug("cannot look for cores", { directory, reason: reasonOf(error) });
      return undefined;
    });
    if (names === undefined) return undefined;
    const cores: (ForeignCore & { ownerUid: number })[] = [];
    for (const fileName of names.filter(isMine)) {
      const path = join(directory, fileName);
      const stats = await lstat(path).catch(() => undefined);
      // A second name may be somebody's way to have us read, or remove, what is not theirs.
      if (stats?.isFile() !== true || stats.size === 0 || stats.nlink !== 1) continue;
      cores.push({
        path,
        fileName,
        sizeBytes: stats.size,
        modifiedAt: stats.mtimeMs,
        named: parseCoreName(fileName),
        attributes: {},
        ownerUid: stats.uid,
      });
    }
    const there = new Set(cores.map((core) => core.path));
    for (const path of this.#known.keys())
      if (dirname(path) === directory && !there.has(path)) this.#known.delete(path);
    return cores;
  }

  async #import(core: ForeignCore, findOwner?: () => Promise<CoreOwner>): Promise<boolean> {
    const { clock, log } = this.#options;
    const mark = `${core.fileName} ${fingerprint(core)}`;
    const known = this.#knownOf(core);
    // A time in the future, from a clock that was set back, says nothing; that it did not change since does.
    const quietMs = Math.max(clock.now() - core.modifiedAt, clock.monotonic() - known.since);
    if (this.#refused.has(mark)) return false;
    if (quietMs < QUIET_MS || clock.monotonic() < known.notBefore) {
      this.waiting += 1;
      return false;
    }
    const abandoned = quietMs >= ABANDONED_MS;
    try {
      const state = await this.#judge(core);
      if (state === "noCore") {
        this.#refused.add(mark);
        log.info("left alone: not a core", { path: core.path });
        return false;
      }
      if (state === "incomplete" && !abandoned) {
        this.waiting += 1;
        return false;
      }
      const owner = await findOwner?.();
      const { name, published } = await this.#make({ ...core, owner }, known, abandoned || state === "opaque");
      log.info("made a bundle of a core", {
        path: core.path,
        bundle: `${name}.zip`,
        sizeBytes: core.sizeBytes,
        published,
      });
      return true;
    } catch (error) {
      if (error instanceof UnfinishedCore || (isDecodeError(error) && !abandoned)) {
        known.notBefore = clock.monotonic() + ABANDONED_MS - quietMs;
        this.waiting += 1;
        log.debug("waiting for a core's writer", { path: core.path });
        return false;
      }
      // Vacuumed by whoever keeps the directory.
      if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return false;
      known.failures += 1;
      known.notBefore = clock.monotonic() + backoffMs(known.failures, RETRY);
      log.warn("cannot make a bundle of a core", { path: core.path, reason: reasonOf(error) });
      return false;
    }
  }

  /** A core that breaks off in the middle of its compression is taken as it is once its writer is gone. */
  async #make(core: ForeignCore, known: KnownFile, acceptCut: boolean): Promise<ImportedCore> {
    try {
      return await importCore(known.undecodable ? { ...core, undecodable: true } : core, this.#options, acceptCut);
    } catch (error) {
      if (!acceptCut || known.undecodable || !isDecodeError(error)) throw error;
      known.undecodable = true;
      return await importCore({ ...core, undecodable: true }, this.#options, acceptCut);
    }
  }

  #knownOf(core: ForeignCore): KnownFile {
    const known = this.#known.get(core.path);
    if (known?.fingerprint === fingerprint(core)) return known;
    const since = this.#options.clock.monotonic();
    const fresh = { fingerprint: fingerprint(core), since, notBefore: 0, failures: 0, undecodable: false };
    this.#known.set(core.path, fresh);
    return fresh;
  }

  /** A plain core says itself how long it must be; a compressed one only when it is read. */
  async #judge(core: ForeignCore): Promise<"ready" | "incomplete" | "opaque" | "noCore"> {
    const handle = await openRegularFile(core.path);
    try {
      const encoding = await detectEncoding(handle);
      if (encoding === "xz") return "opaque";
      if (encoding !== "plain") {
        const start = (await readStart(handle, encoding, ELF_MAGIC.length)).toString("latin1");
        // Nothing at all is a writer that has only begun.
        return start === "" || start === ELF_MAGIC ? "ready" : "noCore";
      }
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
