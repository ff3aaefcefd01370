import { createHash, type Hash } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import type { CoreReader } from "@cdh/core/bundle/core-layout";
import type { Bundle, BundleEntry } from "@cdh/core/bundle/reader";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { FILE_MODE } from "@cdh/core/spool/layout";
import { forgetProgress, saveProgress, tryResume } from "./resume.ts";
import { writeSparse } from "./sparse-file.ts";

/** What came out. */
export interface UnpackedFile {
  path: string;
  sizeBytes: number;
  /** What this run wrote; less than the size where the core is full of zeros. */
  writtenBytes: number;
  /** Where this run went on, when an earlier one was interrupted. */
  resumedAtBytes?: number;
  /** It was there already, with the same bytes. */
  unchanged?: true;
  sha256: string;
}

/** Say how to unpack. */
export interface UnpackOptions {
  /** Replace files that are there already. */
  force?: boolean;
  /** Lower-case hexadecimal; a file that does not have it is not kept. */
  sha256?: string | undefined;
  signal?: AbortSignal;
  onProgress?: (doneBytes: number) => void;
}

/** How often an unpacking core notes how far it is. */
const NOTE_EVERY_BYTES = 64 * 1024 * 1024;

/**
 * Write a core uncompressed, with holes where it is zero. It has its name only when it is whole and right. An interrupted
 * run leaves its part beside the name; the next one goes on from there, when the core can be read from the middle.
 * @throws {CdhError} CDH_DISK; CDH_BUNDLE_HASH when it is not what the manifest says; the CDH_BUNDLE and CDH_STORE families
 */
export async function unpackCore(core: CoreReader, path: string, options: UnpackOptions = {}): Promise<UnpackedFile> {
  const { sizeBytes } = core;
  const sha256 = options.sha256?.toLowerCase();
  const isResumable = core.layout === "frames" || core.layout === "stored";
  const wanted = isResumable && sizeBytes !== undefined && sha256 !== undefined ? { sizeBytes, sha256 } : undefined;
  return writeWhole(path, options, wanted, async (file, hash, from) => {
    const partial = `${path}.partial`;
    let doneBytes = from;
    let writtenBytes = 0;
    let notedBytes = from;
    try {
      for await (const { offset, bytes } of core.chunks({ from, ...signalOf(options) })) {
        writtenBytes += await writeSparse(file, bytes, offset);
        hash.update(bytes);
        doneBytes = offset + bytes.length;
        options.onProgress?.(doneBytes);
        if (wanted === undefined || doneBytes - notedBytes < NOTE_EVERY_BYTES) continue;
        notedBytes = doneBytes;
        await saveProgress(partial, { ...wanted, doneBytes });
      }
    } catch (error) {
      if (wanted !== undefined && doneBytes > 0 && isWorthResuming(error))
        await saveProgress(partial, { ...wanted, doneBytes });
      throw error;
    }
    await file.truncate(doneBytes);
    return { sizeBytes: doneBytes, writtenBytes };
  });
}

/**
 * Write one entry of a bundle below a directory; a file that is there already with the same bytes is left as it is.
 * @throws {CdhError} CDH_DISK; the CDH_BUNDLE family
 */
export async function unpackEntry(
  bundle: Bundle,
  entry: BundleEntry,
  path: string,
  options: UnpackOptions = {},
): Promise<UnpackedFile> {
  const there = options.force === true ? undefined : await readSame(path, entry);
  if (there !== undefined) return { path, sizeBytes: entry.sizeBytes, writtenBytes: 0, unchanged: true, sha256: there };
  return writeWhole(path, options, undefined, async (file, hash) => {
    let sizeBytes = 0;
    for await (const bytes of bundle.stream(entry, signalOf(options))) {
      hash.update(bytes);
      await file.write(bytes, 0, bytes.length, sizeBytes);
      sizeBytes += bytes.length;
      options.onProgress?.(sizeBytes);
    }
    return { sizeBytes, writtenBytes: sizeBytes };
  });
}

type Fill = (file: FileHandle, hash: Hash, from: number) => Promise<{ sizeBytes: number; writtenBytes: number }>;

async function writeWhole(
  path: string,
  options: UnpackOptions,
  resumable: { sizeBytes: number; sha256: string } | undefined,
  fill: Fill,
): Promise<UnpackedFile> {
  const partial = `${path}.partial`;
  try {
    await makeFolders(dirname(path), 0o777);
    if (options.force !== true) await refuseExisting(path);
    const hash = createHash("sha256");
    const earlier = resumable === undefined ? undefined : await tryResume(partial, resumable, hash);
    if (earlier === undefined) await rm(partial, { force: true });
    // "wx" follows no link that somebody may have put there.
    const file = earlier?.file ?? (await open(partial, "wx", FILE_MODE));
    let written;
    try {
      written = await fill(file, hash, earlier?.doneBytes ?? 0);
    } finally {
      await file.close();
    }
    const sha256 = hash.digest("hex");
    if (options.sha256 !== undefined && options.sha256.toLowerCase() !== sha256) {
      throw new CdhError(
        "CDH_BUNDLE_HASH",
        `cannot trust ${path}: its SHA-256 is ${sha256}, the manifest says ${options.sha256}`,
      );
    }
    await rename(partial, path);
    await forgetProgress(partial);
    return { path, sha256, ...written, ...(earlier === undefined ? {} : { resumedAtBytes: earlier.doneBytes }) };
  } catch (error) {
    if (resumable === undefined || !isWorthResuming(error)) {
      await rm(partial, { force: true }).catch(() => {});
      await forgetProgress(partial).catch(() => {});
    }
    if (error instanceof CdhError || options.signal?.aborted === true || errnoOf(error) === undefined) throw error;
    throw new CdhError("CDH_DISK", `cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** A damaged bundle stays damaged; a network comes back, a disk gets room, a person starts again. */
function isWorthResuming(error: unknown): boolean {
  return !(error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_"));
}

function signalOf(options: UnpackOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

/** Hash a file that is what an entry would become; undefined when it is not, or is not there. */
async function readSame(path: string, entry: BundleEntry): Promise<string | undefined> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const stats = await file.stat();
    if (!stats.isFile() || stats.size !== entry.sizeBytes) return undefined;
    const hash = createHash("sha256");
    let checksum = 0;
    for await (const bytes of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
      hash.update(bytes);
      checksum = crc32(bytes, checksum);
    }
    return checksum === entry.crc32 ? hash.digest("hex") : undefined;
  } catch {
    // What cannot be read is refused, or replaced, as any other file.
    return undefined;
  } finally {
    await file.close();
  }
}

async function refuseExisting(path: string): Promise<void> {
  const there = await open(path, "r").catch(() => undefined);
  if (there === undefined) return;
  await there.close();
  throw new CdhError("CDH_DISK", `cannot write ${path}: already exists`, { hint: "--force replaces it" });
}
