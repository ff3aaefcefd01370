import { createHash } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CoreReader } from "@cdh/core/bundle/core-reader";
import type { Bundle, BundleEntry } from "@cdh/core/bundle/reader";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { FILE_MODE } from "@cdh/core/spool/layout";
import { writeSparse } from "./sparse-file.ts";

/** What came out. */
export interface UnpackedFile {
  path: string;
  sizeBytes: number;
  /** What is on the disk; less than the size where the core is full of zeros. */
  writtenBytes: number;
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

/**
 * Write a core uncompressed, with holes where it is zero. It has its name only when it is whole and right.
 * @throws {CdhError} CDH_DISK; CDH_BUNDLE_HASH when it is not what the manifest says; the CDH_BUNDLE family
 */
export async function unpackCore(core: CoreReader, path: string, options: UnpackOptions = {}): Promise<UnpackedFile> {
  return writeWhole(path, options, async (file, hash) => {
    let sizeBytes = 0;
    let writtenBytes = 0;
    for await (const { offset, bytes } of core.chunks(options.signal === undefined ? {} : { signal: options.signal })) {
      hash.update(bytes);
      writtenBytes += await writeSparse(file, bytes, offset);
      sizeBytes = offset + bytes.length;
      options.onProgress?.(sizeBytes);
    }
    await file.truncate(sizeBytes);
    return { sizeBytes, writtenBytes };
  });
}

/** Write one entry of a bundle below a directory. @throws {CdhError} CDH_DISK; the CDH_BUNDLE family */
export async function unpackEntry(
  bundle: Bundle,
  entry: BundleEntry,
  path: string,
  options: UnpackOptions = {},
): Promise<UnpackedFile> {
  return writeWhole(path, options, async (file, hash) => {
    let sizeBytes = 0;
    for await (const bytes of bundle.stream(entry, options.signal === undefined ? {} : { signal: options.signal })) {
      hash.update(bytes);
      await file.write(bytes, 0, bytes.length, sizeBytes);
      sizeBytes += bytes.length;
      options.onProgress?.(sizeBytes);
    }
    return { sizeBytes, writtenBytes: sizeBytes };
  });
}

/** Where an entry lands. Names are checked when the bundle is opened: none of them leaves the directory. */
export function targetPath(directory: string, name: string): string {
  return join(directory, ...name.split("/"));
}

type Fill = (
  file: Awaited<ReturnType<typeof open>>,
  hash: ReturnType<typeof createHash>,
) => Promise<{ sizeBytes: number; writtenBytes: number }>;

async function writeWhole(path: string, options: UnpackOptions, fill: Fill): Promise<UnpackedFile> {
  const partial = `${path}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    if (options.force !== true) await refuseExisting(path);
    await rm(partial, { force: true });
    // "wx" follows no link that somebody may have put there.
    const file = await open(partial, "wx", FILE_MODE);
    const hash = createHash("sha256");
    let written;
    try {
      written = await fill(file, hash);
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
    return { path, sha256, ...written };
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    if (error instanceof CdhError || options.signal?.aborted === true || errnoOf(error) === undefined) throw error;
    throw new CdhError("CDH_DISK", `cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

async function refuseExisting(path: string): Promise<void> {
  const there = await open(path, "r").catch(() => undefined);
  if (there === undefined) return;
  await there.close();
  throw new CdhError("CDH_DISK", `cannot write ${path}: already exists`, { hint: "--force replaces it" });
}
