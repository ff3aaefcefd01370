import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { systemClock } from "@cdh/core/clock";
import { NOTICES_FOLDER } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { keysOf } from "@cdh/core/testing/store-contract";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";

/** One bundle of a made-up store. */
export interface StoredSample {
  /** Below the namespace's folder, without ending. */
  name: string;
  namespace: string;
  /** Stored so long ago. */
  ageMs?: number;
  bytes?: number;
  pod?: string;
  uid?: string;
  /** Leave something out, or break it. */
  without?: "manifest" | "bundle";
  garbage?: boolean;
  keep?: boolean;
  changes?: Partial<Manifest>;
}

/** Make the objects of a bundle. */
export function objectsOf(sample: StoredSample, now = systemClock.now()): { key: string; body: Buffer }[] {
  const { name, namespace, ageMs = 0, pod, uid } = sample;
  const stem = `${namespace}/${name}`;
  const manifest = makeManifest(Buffer.alloc(16), 16, {
    crashId: name,
    bundle: `${name}.zip`,
    crashedAt: new Date(now - ageMs - 1000).toISOString(),
    pod: { namespace, name: pod ?? "web-1", uid: uid ?? "11111111-2222-3333-4444-555555555555" },
    identity: { source: "oci-config", verified: true },
    ...sample.changes,
  });
  const text = sample.garbage === true ? "{ this is no manifest" : JSON.stringify(manifest);
  return [
    ...(sample.without === "bundle" ? [] : [{ key: `${stem}.zip`, body: Buffer.alloc(sample.bytes ?? 1000) }]),
    ...(sample.without === "manifest" ? [] : [{ key: `${stem}.manifest.json`, body: Buffer.from(text) }]),
    ...(sample.keep === true ? [{ key: `${stem}.keep`, body: Buffer.from("{}") }] : []),
  ];
}

/** Put bundles into a directory, with the ages they should have. */
export async function fillDirectory(directory: string, samples: readonly StoredSample[]): Promise<ObjectStore> {
  const now = systemClock.now();
  for (const sample of samples) {
    for (const { key, body } of objectsOf(sample, now)) {
      const path = join(directory, key);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, body);
      const date = new Date(now - (sample.ageMs ?? 0));
      await utimes(path, date, date);
    }
  }
  return new DirectoryStore(directory, { clock: systemClock });
}

/** List the names of what is left: `shop/a.zip`; without retention's own files, and without notices, which are removed later. */
export async function leftIn(store: ObjectStore): Promise<string[]> {
  const own = ["_retention/", "_index/", NOTICES_FOLDER];
  return (await keysOf(store, "")).filter((key) => !own.some((folder) => key.startsWith(folder)));
}
