import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileSource, storeSource, type RandomAccessSource } from "@cdh/core/bundle/reader-source";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { bundleNameOf, QUARANTINE_DIRECTORY, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { ObjectStore } from "@cdh/core/store/store";
import { parseLocation } from "./location.ts";
import { looksLikeCore } from "./plain/names.ts";

/** A bundle that was found, not yet opened. */
export interface Found {
  /** Path or URL, as `show` takes it. */
  label: string;
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
  /** Open it; `glance` when only what a listing shows is wanted. */
  open(options?: { glance?: boolean }): Promise<RandomAccessSource>;
  /** Read the small manifest that lies beside the bundle in a store, when there is one. */
  readSidecar?(): Promise<Uint8Array>;
}

/** Open a bucket, as cdh-upload does with the same environment. */
export type OpenBucket = (bucketUrl: string) => Promise<ObjectStore>;

/** Manifests beside bundles are a few KiB; the reader of one in a bundle has the same bound. */
const SIDECAR_MAX_BYTES = 16 * 1024 * 1024;
/** A store is `prefix/namespace/N.zip`; a spool is flat. */
const WALK_DEPTH_MAX = 5;

/**
 * Find every bundle in a place: a directory and those below it, everything below a prefix, or the one bundle named.
 * @throws {CdhError} CDH_NOT_FOUND, CDH_DISK, the CDH_STORE family
 */
export async function findAll(text: string, openBucket: OpenBucket, signal?: AbortSignal): Promise<Found[]> {
  const location = parseLocation(text);
  if (location.kind === "path") {
    const stats = await stat(location.path).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw new CdhError("CDH_DISK", `cannot look into ${location.path}: ${reasonOf(error)}`, { cause: error });
    });
    if (stats === undefined) return findByPart(location.path);
    return stats.isDirectory() ? walk(location.path, 0) : [foundFile(location.path, stats)];
  }
  const store = await openBucket(`s3://${location.bucket}`);
  return findInStore(store, location.key, signal);
}

/**
 * Find the one bundle that a person means: named whole, by any part of its name that only it has, or, with a place that
 * holds many, the newest one.
 * @throws {CdhError} CDH_NOT_FOUND when there is none, or a part of a name fits several
 */
export async function findOne(text: string, openBucket: OpenBucket, signal?: AbortSignal): Promise<Found> {
  const all = await findAll(text, openBucket, signal);
  const newest = all.toSorted((left, right) => right.modifiedAt - left.modifiedAt)[0];
  if (newest === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no bundle in ${text}`, { hint: "cdh-inspect ls shows what is there" });
  return newest;
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
      found.push(...(await walk(path, depth + 1)));
    }
    const name = bundleNameOf(entry.name);
    if (!entry.isFile() || (name === undefined && !looksLikeCore(entry.name))) continue;
    const stats = await stat(path).catch(() => undefined);
    if (stats === undefined) continue; // uploaded and deleted between the two looks
    const sidecar = `${name}.manifest.json`;
    found.push(foundFile(path, stats, names.has(sidecar) ? join(directory, sidecar) : undefined));
  }
  return found;
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
          readSidecar: async () => {
            const source = await fileSource(sidecar);
            try {
              return await source.read(0, Math.min(source.sizeBytes, SIDECAR_MAX_BYTES));
            } finally {
              await source.close();
            }
          },
        }),
  };
}

/** `…/cores/3f2a` means the one bundle in `…/cores` with 3f2a in its name. */
async function findByPart(path: string): Promise<Found[]> {
  const directory = dirname(path);
  const part = basename(path);
  const exists = await stat(directory).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  const all = exists
    ? (await walk(directory, WALK_DEPTH_MAX)).filter((found) => basename(found.label).includes(part))
    : [];
  if (all.length === 0)
    throw new CdhError("CDH_NOT_FOUND", `no bundle ${path}`, {
      hint: `cdh-inspect ls ${exists ? directory : "DIRECTORY"} shows what is there`,
    });
  if (all.length > 1) throw ambiguous(part, all);
  return all;
}

async function findInStore(store: ObjectStore, key: string, signal?: AbortSignal): Promise<Found[]> {
  const base = store.url.replace(/\/$/, "");
  if (bundleNameOf(basename(key)) !== undefined) {
    const info = await store.head(key, signal);
    if (info !== undefined) return [foundObject(store, base, info)];
  }
  const objects = new Map<string, { key: string; sizeBytes: number; modifiedAt: number }>();
  for await (const info of store.list(key, signal === undefined ? {} : { signal })) objects.set(info.key, info);
  const found: Found[] = [];
  for (const info of objects.values()) {
    if (bundleNameOf(basename(info.key)) === undefined) continue;
    const sidecar = info.key.replace(/\.zip$/, ".manifest.json");
    found.push(foundObject(store, base, info, objects.has(sidecar) ? sidecar : undefined));
  }
  if (found.length === 0 && key !== "" && !key.endsWith("/")) {
    // Not the start of any key: perhaps a part of a name, as `ls` shows it.
    const slash = key.lastIndexOf("/");
    const part = key.slice(slash + 1);
    const all = (await findInStore(store, key.slice(0, slash + 1), signal)).filter((one) =>
      basename(one.label).includes(part),
    );
    if (all.length > 1) throw ambiguous(part, all);
    if (all.length === 0)
      throw new CdhError("CDH_NOT_FOUND", `no bundle ${base}/${key}`, {
        hint: `cdh-inspect ls ${base}/${key.slice(0, slash + 1)}`,
      });
    return all;
  }
  return found;
}

function foundObject(
  store: ObjectStore,
  base: string,
  info: { key: string; sizeBytes: number; modifiedAt: number },
  sidecar?: string,
): Found {
  return {
    label: `${base}/${info.key}`,
    sizeBytes: info.sizeBytes,
    modifiedAt: info.modifiedAt,
    open: (options) => storeSource(store, info.key, { ...options, sizeBytes: info.sizeBytes }),
    ...(sidecar === undefined ? {} : { readSidecar: () => readObject(store, sidecar) }),
  };
}

async function readObject(store: ObjectStore, key: string): Promise<Uint8Array> {
  const body = await store.get(key, { offset: 0, length: SIDECAR_MAX_BYTES });
  if (body === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot read ${store.url}/${key}: no such object`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function ambiguous(part: string, all: readonly Found[]): CdhError {
  const names = all.slice(0, 5).map((found) => basename(found.label));
  return new CdhError("CDH_NOT_FOUND", `${JSON.stringify(part)} fits ${all.length} bundles`, {
    hint: `one of ${names.join(", ")}${all.length > 5 ? " …" : ""}`,
  });
}
