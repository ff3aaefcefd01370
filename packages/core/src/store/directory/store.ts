import { createHash, randomBytes } from "node:crypto";
import { lstat, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import { makeFolders } from "../../files/make-folders.ts";
import { openRegularFile } from "../../files/regular-file.ts";
import { syncDirectory } from "../../files/sync-directory.ts";
import { digestBytes, digestFile } from "../digest.ts";
import { checkKey } from "../keys.ts";
import type { ByteRange, ListOptions, ObjectInfo, ObjectStore, PutOptions, PutResult, PutSource } from "../store.ts";
import { noThrottle, type Throttle } from "../throttle.ts";
import { toDirectoryError } from "./errors.ts";
import {
  CHUNK_BYTES,
  hashFile,
  metadataPath,
  missingIsUndefined,
  publish,
  readChunks,
  readMetadata,
  writeDurably,
  writeMetadata,
} from "./files.ts";
import { DirectoryGate, type Bounded } from "./gate.ts";
import { listDirectory } from "./listing.ts";
import { MountWatch } from "./mount.ts";

/** An unfinished file that nobody wrote to for so long has no writer any more. */
const STALE_MS = 3600e3;

/** Say how a directory store behaves. */
export interface DirectoryStoreOptions {
  clock: Clock;
  /** Holds what is written to a rate; absent: no limit. */
  throttle?: Throttle | undefined;
  /** Milliseconds after which a call that does not answer is given up; default 60 s. */
  timeoutMs?: number | undefined;
  /** Most calls at the same time; default 2, which leaves half of the pool's threads to all else. */
  permits?: number | undefined;
}

/** A flush writes all that the system still holds of a large file: so many ordinary timeouts. */
const FLUSH_TIMEOUTS = 10;

/**
 * Keep objects as files below a directory: a PVC, NFS, CephFS, or a folder on a laptop. A file is written under a
 * hidden name, flushed, read back, and then given its name by link(2), which never replaces anything. User metadata
 * lies beside it in `.NAME.meta.json`.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #throttle: Throttle;
  readonly #mount: MountWatch;
  readonly #tidied = new Set<string>();
  readonly #gate: DirectoryGate;

  constructor(directory: string, options: DirectoryStoreOptions) {
    this.#root = directory;
    this.url = pathToFileURL(directory).href;
    this.#mount = new MountWatch(directory, this.url);
    this.#clock = options.clock;
    this.#throttle = options.throttle ?? noThrottle;
    const { timeoutMs = 60_000, permits = 2 } = options;
    this.#gate = new DirectoryGate({ url: this.url, timeoutMs, permits });
  }

  async putFile(key: string, source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    const path = this.#path(key);
    const handle = await openRegularFile(source.path);
    try {
      const digest = await digestFile(handle, source, {
        partBytes: source.sizeBytes,
        md5: false,
        signal: options.signal,
      });
      return await this.#put(key, path, digest, options, (target, bounded) =>
        this.#copy(handle, target, source, digest.sha256, { ...options, ...bounded }),
      );
    } finally {
      await handle.close();
    }
  }

  async putBytes(key: string, body: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    return await this.#put(key, this.#path(key), digestBytes(body), options, (target) => target.writeFile(body));
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    signal?.throwIfAborted();
    const path = this.#path(key);
    const [stats, metadata] = await this.#bound(`look up ${key}`, signal, async () => {
      const found = await missingIsUndefined(lstat(path));
      return found?.isFile() === true ? ([found, await readMetadata(path)] as const) : [undefined, undefined];
    });
    if (stats === undefined) return undefined;
    return { key, sizeBytes: stats.size, modifiedAt: stats.mtimeMs, ...(metadata === undefined ? {} : { metadata }) };
  }

  async get(
    key: string,
    range: ByteRange = { offset: 0 },
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const path = this.#path(key);
    const isThere = await this.#bound(
      `read ${key}`,
      signal,
      async () => (await missingIsUndefined(lstat(path)))?.isFile() === true,
    );
    return isThere ? this.#boundEach(`read ${key}`, readChunks(path, range, signal), signal) : undefined;
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const what = `list ${prefix}`;
    try {
      yield* this.#boundEach(what, listDirectory(this.#root, prefix, options), options.signal);
    } catch (error) {
      throw options.signal?.aborted === true ? options.signal.reason : error;
    }
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = this.#path(key);
    await this.#bound(`delete ${key}`, signal, async () => {
      await rm(path, { force: true });
      await rm(metadataPath(path), { force: true });
    });
  }

  async close(): Promise<void> {}

  async #put(
    key: string,
    path: string,
    digest: { sizeBytes: number; sha256: string },
    given: PutOptions,
    write: (target: FileHandle, bounded: Bounded) => Promise<void>,
  ): Promise<PutResult> {
    const directory = dirname(path);
    const hidden = join(directory, `.cdh.${randomBytes(6).toString("hex")}.partial`);
    return await this.#bound(`store ${key}`, given.signal, async (bounded) => {
      const options = { ...given, ...bounded };
      await this.#mount.check();
      const there = await this.#compare(key, path, digest, options);
      if (there !== undefined) return there;
      await makeFolders(directory);
      await this.#tidy(directory);
      try {
        await writeDurably(hidden, async (target) => {
          await write(target, bounded);
          bounded.moved(FLUSH_TIMEOUTS);
        });
        const readBack = await hashFile(hidden, bounded);
        if (readBack !== digest.sha256) {
          throw new CdhError(
            "CDH_STORE_MISMATCH",
            `cannot store ${key} in ${this.url}: what can be read back is not what was written`,
          );
        }
        const metadata = { ...options.metadata, "cdh-sha256": digest.sha256 };
        if (options.overwrite === true) await rename(hidden, path);
        else if (!(await publish(hidden, path))) {
          const raced = await this.#compare(key, path, digest, options);
          if (raced !== undefined) return raced;
        }
        await writeMetadata(path, metadata);
        await syncDirectory(directory);
        await this.#mount.check();
        const { mtimeMs } = await lstat(path);
        const { sizeBytes, sha256 } = digest;
        return { key, sizeBytes, sha256, metadata, modifiedAt: mtimeMs, alreadyThere: false, verifiedBy: "readBack" };
      } finally {
        await rm(hidden, { force: true });
      }
    });
  }

  /** Tell whether the same content lies there; throws when it is other content that may not be replaced. */
  async #compare(
    key: string,
    path: string,
    digest: { sizeBytes: number; sha256: string },
    options: PutOptions & Bounded,
  ): Promise<PutResult | undefined> {
    return await this.#guard(`compare ${key}`, async () => {
      const stats = await missingIsUndefined(lstat(path));
      if (stats === undefined) return undefined;
      const { sizeBytes, sha256 } = digest;
      if (stats.isFile() && stats.size === sizeBytes && (await hashFile(path, options)) === sha256) {
        const metadata = { ...options.metadata, "cdh-sha256": sha256 };
        // A writer that was killed right after it published left none.
        if ((await readMetadata(path)) === undefined) await writeMetadata(path, metadata);
        return {
          key,
          sizeBytes,
          sha256,
          metadata,
          modifiedAt: stats.mtimeMs,
          alreadyThere: true,
          verifiedBy: "readBack",
        };
      }
      if (options.overwrite === true && stats.isFile()) return undefined;
      throw new CdhError("CDH_STORE_CONFLICT", `cannot store ${key} in ${this.url}: other content lies there`, {
        hint: "nothing was replaced; compare the two and delete one",
        details: { key, sizeBytes, thereBytes: stats.size },
      });
    });
  }

  async #copy(
    from: FileHandle,
    to: FileHandle,
    source: PutSource,
    sha256: string,
    options: PutOptions & Bounded,
  ): Promise<void> {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let offset = 0; offset < source.sizeBytes;) {
      options.signal?.throwIfAborted();
      const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, source.sizeBytes - offset), offset);
      if (bytesRead === 0) break;
      const chunk = buffer.subarray(0, bytesRead);
      // Waiting for one's turn is no standstill.
      options.moved(Number.POSITIVE_INFINITY);
      await this.#throttle.take(bytesRead, options.signal);
      options.moved();
      hash.update(chunk);
      await to.writeFile(chunk);
      offset += bytesRead;
      options.onProgress?.(offset);
    }
    if (hash.digest("hex") !== sha256) {
      throw new CdhError("CDH_STORE_MISMATCH", `cannot send ${source.path}: it changed meanwhile`);
    }
  }

  async #tidy(directory: string): Promise<void> {
    if (this.#tidied.has(directory)) return;
    this.#tidied.add(directory);
    for (const name of await readdir(directory)) {
      if (!/^\..+\.[0-9a-f]{12}\.partial$/s.test(name)) continue;
      const stats = await missingIsUndefined(lstat(join(directory, name)));
      if (stats?.isFile() === true && this.#clock.now() - stats.mtimeMs > STALE_MS)
        await rm(join(directory, name), { force: true });
    }
  }

  #path(key: string): string {
    return join(this.#root, checkKey(key));
  }

  /** Do work in the gate. */
  async #bound<T>(what: string, signal: AbortSignal | undefined, work: (bounded: Bounded) => Promise<T>): Promise<T> {
    return await this.#guard(what, () => this.#gate.run(what, work, signal));
  }

  /** Hand out what an iterator gives, each step of it in the gate. */
  async *#boundEach<T>(what: string, items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await this.#bound(what, signal, () => iterator.next());
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      // Not waited for: it would wait behind a step that hangs.
      iterator.return?.().catch(() => {});
    }
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw toDirectoryError(error, what, this.url);
    }
  }
}
