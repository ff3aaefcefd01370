import { randomBytes } from "node:crypto";
import { link, lstat, open, readdir, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { BundleFile, placeInFile } from "@cdh/core/bundle/bundle-file";
import { CorePipeline, type CoreSummary } from "@cdh/core/bundle/core-pipeline";
import { encodeManifest } from "@cdh/core/bundle/encode-manifest";
import { makeFrameCompressor } from "@cdh/core/bundle/frame-compressor";
import type { Compression, Manifest } from "@cdh/core/bundle/manifest";
import type { SmallEntry } from "@cdh/core/bundle/writer";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import { systemClock } from "@cdh/core/clock";
import { errnoOf } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { syncDirectory } from "@cdh/core/files/sync-directory";
import { DIRECTORY_MODE, FILE_MODE, publishedPath } from "@cdh/core/spool/layout";

/** Frames in memory and compressed at once: the uploads beside it need their memory too. */
const BUFFERS = 6;
const THREADS = 2;

/** Names of bundles that are being made here; whoever salvages what composers left must not take them. */
const DRAFT_PREFIX = ".import.";
/** Nobody has written to it for so long: its writer is gone. */
const OLD_DRAFT_MS = 3600e3;

/** A core and what to say about it. */
export interface BundleSource {
  /** `N`. */
  name: string;
  mtime: Date;
  dumpInfo: SmallEntry;
  core: AsyncIterable<Uint8Array>;
  /** The entry's name, and how it is to be compressed. */
  entry: { name: string; compression: Compression };
  /** Sees every chunk of the core in order. */
  observe: (chunk: Uint8Array) => void;
  /** Makes the manifest once the core is in. */
  describe: (summary: CoreSummary) => Promise<Manifest>;
  signal?: AbortSignal | undefined;
}

/**
 * Write a bundle into the spool and publish it: hidden first, flushed, then linked to its name. A name that is taken
 * means that an earlier run published this very core, and nothing is done.
 * @returns true when it was published now
 */
export async function writeBundle(coreDir: string, source: BundleSource): Promise<boolean> {
  await makeFolders(coreDir, DIRECTORY_MODE);
  await removeOldDrafts(coreDir);
  // A name of its own: another daemon on this spool may be making the same bundle.
  const draft = join(coreDir, `${DRAFT_PREFIX}${randomBytes(8).toString("hex")}`);
  const file = await open(draft, "wx", FILE_MODE);
  try {
    await fill(file, source);
    await file.sync();
    await link(draft, publishedPath(coreDir, source.name));
    await syncDirectory(coreDir);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

/** Remove what a killed run left; what is being written is never so old. */
async function removeOldDrafts(coreDir: string): Promise<void> {
  const names = (await readdir(coreDir)).filter((name) => name.startsWith(DRAFT_PREFIX));
  for (const name of names) {
    const path = join(coreDir, name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats?.isFile() === true && Math.abs(systemClock.now() - stats.mtimeMs) > OLD_DRAFT_MS)
      await rm(path, { force: true });
  }
}

async function fill(file: FileHandle, source: BundleSource): Promise<void> {
  const { entry, mtime, dumpInfo } = source;
  const method = entry.compression === "deflate" ? "deflate" : "stored";
  const bundle = await BundleFile.begin(placeInFile(file), { mtime, dumpInfo, core: { name: entry.name, method } });
  const compressor = makeFrameCompressor(entry.compression);
  const pipeline = new CorePipeline({ compressor, sink: bundle, threads: THREADS, buffers: BUFFERS });
  try {
    await feed(pipeline, source);
  } finally {
    // Its threads end with it, also when the disk is full or the core cannot be read.
    await pipeline.settle();
  }
  if (pipeline.failure !== undefined) throw pipeline.failure;
  const trailer = pipeline.trailer();
  const sums = pipeline.summarise(trailer);
  const manifest = { name: `${source.name}-manifest.json`, bytes: encodeManifest(await source.describe(sums)).bytes };
  const { bodyBytes } = pipeline;
  await bundle.writeEnd(await bundle.layOutEnd({ bodyBytes, trailer, sums }, [manifest]));
}

async function feed(pipeline: CorePipeline, source: BundleSource): Promise<void> {
  let buffer = await pipeline.acquire();
  let filled = 0;
  for await (const chunk of source.core) {
    source.signal?.throwIfAborted();
    for (let at = 0; at < chunk.length;) {
      const bytes = Math.min(FRAME_BYTES - filled, chunk.length - at);
      buffer.set(chunk.subarray(at, at + bytes), filled);
      filled += bytes;
      at += bytes;
      if (filled < FRAME_BYTES) continue;
      source.observe(buffer);
      pipeline.submit(buffer, filled);
      if (pipeline.failure !== undefined) throw pipeline.failure;
      buffer = await pipeline.acquire();
      filled = 0;
    }
  }
  if (filled > 0) source.observe(buffer.subarray(0, filled));
  pipeline.submit(buffer, filled);
}
