import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import yauzl from "yauzl";
import type { Manifest } from "@cdh/core/bundle/manifest";

/** One entry of a bundle as a reader of zip files that is not ours sees it. */
export interface BundleEntry {
  name: string;
  sizeBytes: number;
  storedBytes: number;
  method: "stored" | "deflate" | "other";
  /** Unix permission bits. */
  mode: number;
}

/** A bundle opened with other code than our own: yauzl for the zip, `zstd` for the core. */
export interface OpenBundle {
  readonly path: string;
  readonly entries: BundleEntry[];
  readonly manifest: Manifest;
  /** Read an entry whole, by its name or by what it ends with. @throws {Error} when there is none */
  read(suffix: string): Promise<Buffer>;
  /** Write the core, decompressed, to `directory/core` and give its path and SHA-256. */
  unpackCore(directory: string): Promise<{ path: string; sha256: string }>;
}

const METHODS: Record<number, BundleEntry["method"]> = { 0: "stored", 8: "deflate" };

async function withEntry<T>(
  path: string,
  suffix: string,
  use: (zip: yauzl.ZipFile, entry: yauzl.Entry) => Promise<T>,
): Promise<T> {
  const zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) if (entry.fileName.endsWith(suffix)) return await use(zip, entry);
    throw new Error(`${path} has no entry that ends with ${suffix}`);
  } finally {
    zip.close();
  }
}

function readEntry(path: string, suffix: string): Promise<Buffer> {
  return withEntry(path, suffix, async (zip, entry) => {
    const parts: Buffer[] = [];
    for await (const part of await zip.openReadStreamPromise(entry)) parts.push(part as Buffer);
    return Buffer.concat(parts);
  });
}

/** Hash a file. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

async function unpackCore(path: string, directory: string): Promise<{ path: string; sha256: string }> {
  const suffix = (await listEntries(path)).some(({ name }) => name.endsWith(".core.zst")) ? ".core.zst" : ".core";
  const core = join(directory, "core");
  const packed = suffix === ".core" ? core : `${core}.zst`;
  await withEntry(path, suffix, async (zip, entry) => {
    await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(packed));
  });
  if (packed !== core) {
    const result = spawnSync("zstd", ["-d", "-q", "-f", "--rm", "-o", core, packed], { encoding: "utf8" });
    if (result.status !== 0) throw new Error(`zstd -d ${packed}: ${result.error?.message ?? result.stderr}`);
  }
  return { path: core, sha256: await sha256OfFile(core) };
}

/** List a zip's entries in the order of its central directory. @throws {Error} when it is not a valid zip */
export async function listEntries(path: string): Promise<BundleEntry[]> {
  const zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
  const entries: BundleEntry[] = [];
  try {
    for await (const entry of zip.eachEntry()) {
      entries.push({
        name: entry.fileName,
        sizeBytes: entry.uncompressedSize,
        storedBytes: entry.compressedSize,
        method: METHODS[entry.compressionMethod] ?? "other",
        mode: (entry.externalFileAttributes >>> 16) & 0o7777,
      });
    }
  } finally {
    zip.close();
  }
  return entries;
}

/** Open a bundle with third-party readers. @throws {Error} when it is no zip or has no manifest */
export async function openBundleFile(path: string): Promise<OpenBundle> {
  return {
    path,
    entries: await listEntries(path),
    manifest: JSON.parse((await readEntry(path, "-manifest.json")).toString("utf8")) as Manifest,
    read: (suffix) => readEntry(path, suffix),
    unpackCore: (directory) => unpackCore(path, directory),
  };
}
