import { basename } from "node:path/posix";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { storeSource } from "@cdh/core/bundle/reader-source";
import { CdhError } from "@cdh/core/errors";
import { bundleNameOf } from "@cdh/core/spool/layout";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import { choosePart, type Finding, type Found } from "./found.ts";

/**
 * Find bundles in a store: the object named, everything below a prefix, what starts with a text, or by a part of a name
 * below the nearest prefix that has something.
 * @throws {CdhError} CDH_NOT_FOUND, the CDH_STORE family
 */
export async function findInStore(store: ObjectStore, key: string, signal?: AbortSignal): Promise<Finding> {
  const base = store.url.replace(/\/$/, "");
  if (bundleNameOf(basename(key)) !== undefined) {
    const info = await store.head(key, signal);
    if (info !== undefined) return { how: "name", found: [foundObject(store, base, info)] };
  }
  const below = await list(store, base, key, signal);
  const folder = `${base}/${key.replace(/\/$/, "")}/`;
  const inFolder = below.filter((one) => one.label.startsWith(folder));
  if (key === "" || inFolder.length > 0) return { how: "place", found: key === "" ? below : inFolder };
  if (below.length > 0) return { how: "part", found: below };
  for (let slash = key.lastIndexOf("/", key.length - 2); ; slash = key.lastIndexOf("/", slash - 1)) {
    const prefix = key.slice(0, slash + 1);
    const all = await list(store, base, prefix, signal);
    const finding = choosePart(all, base.length + 1 + prefix.length, key.slice(slash + 1).replace(/\/$/, ""));
    if (finding.found.length > 0) return finding;
    // What is in a folder that exists is not in another one.
    if (slash <= 0 || all.length > 0) {
      throw new CdhError("CDH_NOT_FOUND", `no bundle ${base}/${key}`, {
        hint: `cdh-inspect ls ${base}/${prefix} shows what is there`,
      });
    }
  }
}

async function list(store: ObjectStore, base: string, prefix: string, signal?: AbortSignal): Promise<Found[]> {
  const objects = new Map<string, ObjectInfo>();
  for await (const info of store.list(prefix, signal === undefined ? {} : { signal })) objects.set(info.key, info);
  const found: Found[] = [];
  for (const info of objects.values()) {
    if (bundleNameOf(basename(info.key)) === undefined) continue;
    const sidecar = info.key.replace(/\.zip$/, ".manifest.json");
    found.push(foundObject(store, base, info, objects.has(sidecar) ? sidecar : undefined));
  }
  return found;
}

function foundObject(store: ObjectStore, base: string, info: ObjectInfo, sidecar?: string): Found {
  const label = `${base}/${info.key}`;
  return {
    label,
    sizeBytes: info.sizeBytes,
    modifiedAt: info.modifiedAt,
    open: (options) => storeSource(store, info.key, { ...options, sizeBytes: info.sizeBytes }),
    ...(sidecar === undefined
      ? {}
      : { readManifest: async () => parseManifest(await readObject(store, sidecar), label) }),
  };
}

async function readObject(store: ObjectStore, key: string): Promise<Uint8Array> {
  const body = await store.get(key, { offset: 0, length: READ_LIMITS.manifest.bytes });
  if (body === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot read ${store.url}/${key}: no such object`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
