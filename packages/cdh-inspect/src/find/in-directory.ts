import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, parse } from "node:path";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { fileSource } from "@cdh/core/bundle/reader-source";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { openRegularFile } from "@cdh/core/files/regular-file";
import { fileKindOf } from "@cdh/core/foreign/core-encoding";
import { looksLikeCore } from "@cdh/core/foreign/core-name";
import { append } from "@cdh/core/lists";
import { bundleNameOf, QUARANTINE_DIRECTORY, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { choosePart, type Finding, type Found } from "./found.ts";

/** A store is `prefix/namespace/N.zip`; a spool is flat. */
const WALK_DEPTH_MAX = 5;

/**
 * Find bundles and cores on this machine: the file named, a directory and those below it, or by a part of a name below
 * the nearest directory that exists.
 * @throws {CdhError} CDH_NOT_FOUND, CDH_DISK
 */
export async function findOnDisk(path: string): Promise<Finding> {
  const stats = await lookAt(path);
  if (stats?.isDirectory() === true) return { how: "place", found: await walk(path, 0) };
  if (stats !== undefined) return { how: "name", found: [foundFile(path, stats)] };
  const directory = await nearestDirectory(dirname(path));
  if (directory !== undefined) {
    const all = await walk(directory, 0);
    // "." and "/" are written differently in what is below them.
    const base = join(directory, "x").length - 1;
    const part = join(path).slice(base);
    const finding = choosePart(all, base, part);
    if (finding.found.length > 0) return finding;
  }
  throw new CdhError("CDH_NOT_FOUND", `no bundle ${path}`, {
    hint: `cdh-inspect ls ${directory ?? "DIRECTORY"} shows what is there`,
  });
}

async function lookAt(path: string): Promise<Stats | undefined> {
  return stat(path).catch((error: unknown) => {
    // A file where a directory is meant, or a name that no file can have: nothing is there.
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG", "EINVAL"].includes(errnoOf(error) ?? "")) return undefined;
    throw new CdhError("CDH_DISK", `cannot look into ${path}: ${reasonOf(error)}`, { cause: error });
  });
}

/** `store/payments/3f2a` may mean `store/prod/payments/…3f2a….zip`; a directory that has little to do with it is not searched. */
async function nearestDirectory(path: string): Promise<string | undefined> {
  for (let directory = path, steps = 0; steps < 2; steps += 1, directory = dirname(directory)) {
    const stats = await lookAt(directory);
    // Everything of a machine is below its root: looking for a mistyped path there would take minutes.
    if (directory === parse(directory).root) break;
    if (stats?.isDirectory() === true) return directory;
  }
  return undefined;
}

async function walk(directory: string, depth: number): Promise<Found[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    throw new CdhError("CDH_DISK", `cannot look into ${directory}: ${reasonOf(error)}`, { cause: error });
  });
  const names = new Set(entries.map((entry) => entry.name));
  const found: Found[] = [];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (
      entry.isDirectory() &&
      !entry.name.startsWith(".") &&
      ![QUARANTINE_DIRECTORY, STATE_DIRECTORY].includes(entry.name) &&
      depth < WALK_DEPTH_MAX
    ) {
      append(found, await walk(path, depth + 1).catch((error: unknown) => [unreadable(path, error)]));
    }
    const name = bundleNameOf(entry.name);
    if (!entry.isFile()) continue;
    if (name === undefined && !(looksLikeCore(entry.name) && (await mayBeCore(path)))) continue;
    const stats = await stat(path).catch(() => undefined);
    if (stats === undefined) continue; // uploaded and deleted between the two looks
    const sidecar = `${name}.manifest.json`;
    found.push(foundFile(path, stats, names.has(sidecar) ? join(directory, sidecar) : undefined));
  }
  return found;
}

/** Of a file's beginning so much tells whether it is text. */
const TEXT_BYTES = 512;

/**
 * Tell whether a file whose name could be a core's may be one: a text such as `core.js` is none. A core that is damaged, or
 * cannot be read, is told by who reads it.
 */
async function mayBeCore(path: string): Promise<boolean> {
  try {
    const file = await openRegularFile(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(TEXT_BYTES), 0, TEXT_BYTES, 0);
      const start = buffer.subarray(0, bytesRead);
      return bytesRead === 0 || fileKindOf(start) !== "unknown" || !isUtf8Text(start);
    } finally {
      await file.close();
    }
  } catch {
    return true;
  }
}

/** Tell whether bytes are text; the last character may be cut. */
function isUtf8Text(bytes: Buffer): boolean {
  return !bytes.includes(0) && !new TextDecoder().decode(bytes, { stream: true }).includes("\u{fffd}");
}

/** A directory that somebody else keeps to himself: the others are listed, and this one is told. */
function unreadable(path: string, error: unknown): Found {
  return { label: path, sizeBytes: 0, modifiedAt: 0, open: () => Promise.reject(error) };
}

function foundFile(path: string, stats: { size: number; mtimeMs: number }, sidecar?: string): Found {
  return {
    label: path,
    sizeBytes: stats.size,
    modifiedAt: stats.mtimeMs,
    open: () => fileSource(path),
    ...(sidecar === undefined
      ? {}
      : {
          readManifest: async () => {
            const source = await fileSource(sidecar);
            try {
              return parseManifest(await source.read(0, Math.min(source.sizeBytes, READ_LIMITS.manifest.bytes)), path);
            } finally {
              await source.close();
            }
          },
        }),
  };
}
