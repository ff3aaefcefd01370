import { closeSync, constants, mkdirSync, openSync, unlinkSync } from "node:fs";
import { lstat, mkdir, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { CoreSink } from "@cdh/core/bundle/core-pipeline";
import type { Clock } from "@cdh/core/clock";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { DIRECTORY_MODE, FILE_MODE, partialPath, publishedPath } from "@cdh/core/spool/layout";
import { HEARTBEAT_MS, removeWriterMark, writerMarkPath, writerMarksDirectory } from "@cdh/core/spool/writer-mark";
import { syncDirectory } from "@cdh/core/sync-directory";
import type { Native } from "./native.ts";

/**
 * A bundle being written: `.N.zip.partial`, published as `N.zip` by fsync and rename. It is created anew, never
 * followed through a link, and readable by its owner alone.
 */
export class SpoolFile implements CoreSink {
  readonly #handle: FileHandle;
  readonly #partial: string;
  readonly #published: string;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #removeMark: () => Promise<void>;
  /** Where the core's entry begins in the file. */
  #coreOffset = 0;

  private constructor(
    handle: FileHandle,
    partial: string,
    published: string,
    clock: Clock,
    removeMark: () => Promise<void>,
  ) {
    this.#handle = handle;
    this.#partial = partial;
    this.#published = published;
    this.#removeMark = removeMark;
    let isBeating = false;
    this.#heartbeat = setInterval(() => {
      // A disk that hangs holds one thread with it, not one more every time.
      if (isBeating) return;
      isBeating = true;
      const now = clock.now() / 1000;
      this.#handle
        .utimes(now, now)
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
    native: Native | undefined = undefined,
  ): Promise<SpoolFile> {
    const partial = partialPath(coreDir, name);
    let removeMark = async (): Promise<void> => {};
    try {
      await mkdir(coreDir, { recursive: true, mode: DIRECTORY_MODE });
      if ((await lstat(coreDir)).isSymbolicLink())
        throw new CdhError("CDH_DISK", `cannot use ${coreDir}: is a symbolic link`);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      // First the mark, then the file: whoever sees the file without a living writer is right.
      removeMark = openMark(coreDir, name, native);
      const handle = await open(partial, flags, FILE_MODE);
      return new SpoolFile(handle, partial, publishedPath(coreDir, name), clock, removeMark);
    } catch (error) {
      await removeMark();
      throw diskError(`cannot create ${partial}`, error);
    }
  }

  get path(): string {
    return this.#published;
  }

  /**
   * Write the bundle's beginning; the core's bytes go after it. A file that can't take even this is removed.
   * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
   */
  async writeHead(head: Uint8Array): Promise<void> {
    try {
      await this.#writeAll(head, 0);
      this.#coreOffset = head.length;
    } catch (error) {
      await this.remove();
      throw diskError(`cannot write ${this.#partial}`, error);
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#writeAll(bytes, this.#coreOffset + offset);
  }

  /** Cut the file after so many bytes of the core's entry. */
  async cutAfter(coreBytes: number): Promise<void> {
    await this.#handle.truncate(this.#coreOffset + coreBytes);
  }

  /**
   * Make the bundle visible: everything on the disk first, then the name, then the directory.
   * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
   */
  async publish(): Promise<void> {
    try {
      await this.#handle.sync();
      clearInterval(this.#heartbeat);
      await this.#handle.close();
      await rename(this.#partial, this.#published);
      await syncDirectory(dirname(this.#published));
      await this.#removeMark();
    } catch (error) {
      throw diskError(`cannot publish ${this.#published}`, error);
    }
  }

  /** Remove the file: the crash is not wanted. */
  async remove(): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#handle.close().catch(() => {});
    await unlink(this.#partial).catch(() => {});
    await this.#removeMark();
  }

  async #writeAll(bytes: Uint8Array, position: number): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, position + written);
      if (bytesWritten === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      written += bytesWritten;
    }
  }
}

/**
 * Mark that this bundle has a living writer: a fifo, held open until this process ends. Without one, salvage goes by
 * the heartbeat alone, and waits longer.
 * @returns removes the mark
 */
function openMark(coreDir: string, name: string, native: Native | undefined): () => Promise<void> {
  const remove = (): Promise<void> => removeWriterMark(coreDir, name);
  const path = writerMarkPath(coreDir, name);
  try {
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true, mode: DIRECTORY_MODE });
    if (native?.makeFifo(path) !== true) return remove;
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
