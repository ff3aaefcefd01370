import { closeSync, constants, mkdirSync, openSync, rmdirSync, unlinkSync } from "node:fs";
import { lstat, mkdir, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { BundlePlace } from "@cdh/core/bundle/bundle-file";
import type { Clock } from "@cdh/core/clock";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { syncDirectory } from "@cdh/core/files/sync-directory";
import { DIRECTORY_MODE, FILE_MODE, packingPath, partialPath, publishedPath } from "@cdh/core/spool/layout";
import { HEARTBEAT_MS, removeWriterMark, writerMarkPath, writerMarksDirectory } from "@cdh/core/spool/writer-mark";
import type { Native } from "../self/native.ts";
import { NO_NATIVE } from "../self/no-native.ts";
import { FLUSH_MS, type TimeLimit } from "../self/time-limit.ts";
import { closeForWatchers, shareWithGroup } from "./share-with-group.ts";

/**
 * A bundle being written: `.N.zip.partial`, published as `N.zip` by fsync and rename. It is created anew, never
 * followed through a link, and readable by its owner alone unless it is shared.
 */
export class SpoolFile implements BundlePlace {
  readonly #handle: FileHandle;
  /** What is made of this file, to take its place. */
  #packing: { handle: FileHandle; path: string } | undefined;
  #gid: number | undefined;
  readonly #name: string;
  readonly #partial: string;
  readonly #published: string;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #removeMark: () => Promise<void>;
  readonly #limit: TimeLimit | undefined;

  private constructor(
    handle: FileHandle,
    { coreDir, name }: { coreDir: string; name: string },
    clock: Clock,
    removeMark: () => Promise<void>,
    limit: TimeLimit | undefined,
  ) {
    this.#handle = handle;
    this.#name = name;
    this.#partial = partialPath(coreDir, name);
    this.#published = publishedPath(coreDir, name);
    this.#removeMark = removeMark;
    this.#limit = limit;
    let isBeating = false;
    this.#heartbeat = setInterval(() => {
      // A disk that hangs holds one thread with it, not one more every time.
      if (isBeating) return;
      isBeating = true;
      const now = clock.now() / 1000;
      this.#watch(this.#handle.utimes(now, now))
        .catch(() => {})
        .finally(() => (isBeating = false));
    }, HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /**
   * Create the file, and CORE_DIR when it is missing.
   * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
   */
  static async create(
    coreDir: string,
    name: string,
    clock: Clock,
    native: Native = NO_NATIVE,
    limit: TimeLimit | undefined = undefined,
  ): Promise<SpoolFile> {
    const partial = partialPath(coreDir, name);
    let removeMark = async (): Promise<void> => {};
    try {
      await mkdir(coreDir, { recursive: true, mode: DIRECTORY_MODE });
      if ((await lstat(coreDir)).isSymbolicLink())
        throw new CdhError("CDH_DISK", `cannot use ${coreDir}: is a symbolic link`);
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      // First the mark, then the file: whoever sees the file without a living writer is right.
      removeMark = openMark(coreDir, name, native);
      const handle = await open(partial, flags, FILE_MODE).catch(async (error: unknown) => {
        if (!isDiskFull(error)) throw error;
        // The last inode goes to the bundle, not to its mark.
        await removeMark();
        removeMark = async () => {};
        removeEmptyState(coreDir);
        return await open(partial, flags, FILE_MODE);
      });
      return new SpoolFile(handle, { coreDir, name }, clock, removeMark, limit);
    } catch (error) {
      await removeMark();
      throw diskError(`cannot create ${partial}`, error);
    }
  }

  get path(): string {
    return this.#published;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#writeTo(this.#handle, bytes, offset);
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#watch(this.#handle.truncate(sizeBytes));
  }

  /** Fill a buffer with what was written. @throws {Error} of the file system, and where less was written */
  async read(into: Buffer, offset: number): Promise<void> {
    for (let at = 0; at < into.length;) {
      const { bytesRead } = await this.#watch(this.#handle.read(into, at, into.length - at, offset + at));
      if (bytesRead === 0) throw new Error(`${this.#partial} ends at ${offset + at}`);
      at += bytesRead;
    }
  }

  /**
   * Begin a file that is to take this one's place when it is published. Until then this one stays as it is.
   * @throws {Error} of the file system
   */
  async beginPacked(): Promise<BundlePlace> {
    const path = packingPath(dirname(this.#partial), this.#name);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await this.#watch(open(path, flags, FILE_MODE));
    this.#packing = { handle, path };
    if (this.#gid !== undefined) await this.#watch(shareWithGroup(handle, dirname(path), this.#gid)).catch(() => {});
    return {
      write: (bytes, offset) => this.#writeTo(handle, bytes, offset),
      truncate: (sizeBytes) => this.#watch(handle.truncate(sizeBytes)),
    };
  }

  /** Remove what {@link beginPacked} began. */
  async dropPacked(): Promise<void> {
    const packing = this.#packing;
    this.#packing = undefined;
    if (packing === undefined) return;
    await this.#watch(packing.handle.close()).catch(() => {});
    await this.#watch(unlink(packing.path)).catch(() => {});
  }

  /** Let a group read it, now and when it is published. @throws {Error} of the file system; then only its owner can */
  async shareWith(gid: number): Promise<void> {
    await this.#watch(shareWithGroup(this.#handle, dirname(this.#published), gid));
    this.#gid = gid;
  }

  /**
   * Make the bundle visible: everything on the disk first, then the name, then the directory.
   * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
   */
  async publish(): Promise<void> {
    try {
      await this.#watch((this.#packing?.handle ?? this.#handle).sync(), FLUSH_MS);
      if (this.#packing !== undefined) {
        // In one step: whenever this process dies, one whole copy has the name that salvage looks for.
        await this.#watch(rename(this.#packing.path, this.#partial));
        await this.#watch(this.#packing.handle.close());
        this.#packing = undefined;
      }
      clearInterval(this.#heartbeat);
      await this.#watch(this.#handle.close());
      await this.#watch(rename(this.#partial, this.#published));
      await this.#watch(syncDirectory(dirname(this.#published)), FLUSH_MS);
      await this.#watch(closeForWatchers(this.#published));
      await this.#watch(this.#removeMark());
    } catch (error) {
      throw diskError(`cannot publish ${this.#published}`, error);
    }
  }

  /** Remove the file: the crash is not wanted. */
  async remove(): Promise<void> {
    await this.dropPacked();
    clearInterval(this.#heartbeat);
    await this.#watch(this.#handle.close()).catch(() => {});
    await this.#watch(unlink(this.#partial)).catch(() => {});
    await this.#watch(this.#removeMark());
  }

  /** Leave the file as it is, unfinished: whoever salvages torn bundles finds in it what was written. */
  abandon(): void {
    clearInterval(this.#heartbeat);
    this.#handle.close().catch(() => {});
    this.#packing?.handle.close().catch(() => {});
  }

  async #writeTo(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const left = bytes.length - written;
      const { bytesWritten } = await this.#watch(handle.write(bytes, written, left, offset + written));
      if (bytesWritten === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      written += bytesWritten;
    }
  }

  #watch<T>(call: Promise<T>, maxMs?: number): Promise<T> {
    return this.#limit === undefined ? call : this.#limit.watch(call, maxMs);
  }
}

/**
 * Mark that this bundle has a living writer: a fifo, held open until this process ends. Without one, salvage goes by
 * the heartbeat alone, and waits longer.
 * @returns removes the mark
 */
function openMark(coreDir: string, name: string, native: Native): () => Promise<void> {
  const remove = (): Promise<void> => removeWriterMark(coreDir, name);
  const path = writerMarkPath(coreDir, name);
  try {
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true, mode: DIRECTORY_MODE });
    if (!native.makeFifo(path)) return remove;
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    return async () => {
      await remove();
      closeSync(fd);
    };
  } catch {
    // A spool that takes no fifo takes the core all the same. One that nobody reads must not stay: it would say "dead".
    tryUnlink(path);
    return remove;
  }
}

/** Give back the inodes of the directories that the mark needed, where nothing else is in them. */
function removeEmptyState(coreDir: string): void {
  for (const directory of [writerMarksDirectory(coreDir), dirname(writerMarksDirectory(coreDir))]) {
    try {
      rmdirSync(directory);
    } catch {
      // In use, or not there.
    }
  }
}

function tryUnlink(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made.
  }
}

/** Tell whether an error means that there is no room. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(errnoOf(error) ?? "");
}

/** Wrap an error of the file system into one that names what was tried. */
export function diskError(what: string, error: unknown): CdhError {
  if (error instanceof CdhError) return error;
  return new CdhError(isDiskFull(error) ? "CDH_SPOOL_FULL" : "CDH_DISK", `${what}: ${reasonOf(error)}`, {
    cause: error,
  });
}
