import { createHash, randomBytes } from "node:crypto";
import { lstat, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Clock } from "../clock.ts";
import { CdhError, errnoOf, reasonOf } from "../errors.ts";
import { digestBytes, digestFile, openRegularFile } from "./digest.ts";
import {
  CHUNK_BYTES,
  hashFile,
  makeFolders,
  metadataPath,
  missingIsUndefined,
  publish,
  readChunks,
  readMetadata,
  writeDurably,
  writeMetadata,
} from "./directory-files.ts";
import { syncDirectory } from "../sync-directory.ts";
import { listDirectory } from "./directory-listing.ts";
import { MountWatch } from "./directory-mount.ts";
import { checkKey } from "./keys.ts";
import { createThrottle, type Throttle } from "./throttle.ts";
import type { ByteRange, ListOptions, ObjectInfo, ObjectStore, PutOptions, PutResult, PutSource } from "./store.ts";

/** An unfinished file that nobody wrote to for so long has no writer any more. */
const STALE_MS = 3600e3;

/** Say how a directory store behaves. */
export interface DirectoryStoreOptions {
  clock: Clock;
  /** Most bytes a second; absent: no limit. */
  bandwidthLimit?: number | undefined;
}

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

  constructor(directory: string, options: DirectoryStoreOptions) {
    this.#root = directory;
    this.url = pathToFileURL(directory).href;
    this.#mount = new MountWatch(directory, this.url);
    this.#clock = options.clock;
    this.#throttle = createThrottle(options.bandwidthLimit, options.clock);
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
      return await this.#put(key, path, digest, options, (target) =>
        this.#copy(handle, target, source, digest.sha256, options),
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
    const stats = await this.#guard(`look up ${key}`, () => missingIsUndefined(lstat(path)));
    if (stats?.isFile() !== true) return undefined;
    const metadata = await readMetadata(path);
    return { key, sizeBytes: stats.size, modifiedAt: stats.mtimeMs, ...(metadata === undefined ? {} : { metadata }) };
  }

  async get(
    key: string,
    range: ByteRange = { offset: 0 },
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const path = this.#path(key);
    if ((await this.head(key, signal)) === undefined) return undefined;
    const handle = await this.#guard(`read ${key}`, () => openRegularFile(path));
    const { size } = await handle.stat();
    const start = range.offset < 0 ? Math.max(0, size + range.offset) : range.offset;
    const end = range.length === undefined ? size : Math.min(size, start + range.length);
    return readChunks(handle, start, end, signal, range.chunkBytes);
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    try {
      for await (const object of listDirectory(this.#root, prefix, options)) yield object;
    } catch (error) {
      throw options.signal?.aborted === true ? options.signal.reason : this.#error(`list ${prefix}`, error);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    await this.#guard(`delete ${key}`, async () => {
      await rm(path, { force: true });
      await rm(metadataPath(path), { force: true });
    });
  }

  async close(): Promise<void> {}

  async #put(
    key: string,
    path: string,
    digest: { sizeBytes: number; sha256: string },
    options: PutOptions,
    write: (target: FileHandle) => Promise<void>,
  ): Promise<PutResult> {
    const directory = dirname(path);
    const hidden = join(directory, `.cdh.${randomBytes(6).toString("hex")}.partial`);
    return await this.#guard(`store ${key}`, async () => {
      await this.#mount.check();
      const there = await this.#compare(key, path, digest, options);
      if (there !== undefined) return there;
      await makeFolders(directory);
      await this.#tidy(directory);
      try {
        await writeDurably(hidden, write);
        const readBack = await hashFile(hidden, options.signal);
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
    options: PutOptions,
  ): Promise<PutResult | undefined> {
    return await this.#guard(`compare ${key}`, async () => {
      const stats = await missingIsUndefined(lstat(path));
      if (stats === undefined) return undefined;
      const { sizeBytes, sha256 } = digest;
      if (stats.isFile() && stats.size === sizeBytes && (await hashFile(path, options.signal)) === sha256) {
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

  async #copy(from: FileHandle, to: FileHandle, source: PutSource, sha256: string, options: PutOptions): Promise<void> {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let offset = 0; offset < source.sizeBytes;) {
      options.signal?.throwIfAborted();
      const { bytesRead } = await from.read(buffer, 0, Math.min(buffer.length, source.sizeBytes - offset), offset);
      if (bytesRead === 0) break;
      const chunk = buffer.subarray(0, bytesRead);
      await this.#throttle.take(bytesRead, options.signal);
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

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#error(what, error);
    }
  }

  #error(what: string, error: unknown): unknown {
    const errno = errnoOf(error);
    if (error instanceof CdhError || errno === undefined || errno === "ABORT_ERR") return error;
    const denied = ["EACCES", "EPERM", "EROFS"].includes(errno);
    // These speak about this very object; whatever else it is, the next one would meet it too.
    const refused = ["ENAMETOOLONG", "EFBIG"].includes(errno);
    return new CdhError(
      denied ? "CDH_STORE_DENIED" : refused ? "CDH_STORE_REFUSED" : "CDH_STORE",
      `cannot ${what} in ${this.url}: ${reasonOf(error)}`,
      {
        cause: error,
        details: { errno },
        ...(denied ? { hint: "the directory must be writable for the user that this program runs as" } : {}),
        ...(errno === "ENOSPC" || errno === "EDQUOT" ? { hint: "make room in the store" } : {}),
      },
    );
  }
}
