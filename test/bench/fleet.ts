/** The store of a fleet, made up: manifests as the uploader leaves them, of many workloads, nodes and bugs. */
import { copyFileSync, linkSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "../../packages/cdh-api/src/index/dump-index.ts";
import { recordOf } from "../../packages/cdh-api/src/index/record-of.ts";
import { stampOf } from "../../packages/cdh-api/src/index/store-reader.ts";
import { headOf } from "../../packages/cdh-api/src/manifests/head.ts";
import { makeManifest, makeTinyCore } from "../../packages/core/src/testing/sample-bundle.ts";

/** How large the fleet is. */
export interface Fleet {
  dumps: number;
  namespaces: number;
  groups: number;
  nodes: number;
}

type Sample = ReturnType<typeof makeManifest>;

const START_MS = 1_795_249_571_000;
const CORE = makeTinyCore(64);
/** ext4 allows 65,000 names of one file. */
const LINKS_MAX = 60_000;

/** Name a dump of the fleet: its key without a suffix, and its manifest. */
export function dumpOf(fleet: Fleet, index: number): { stem: string; manifest: Sample } {
  // A bug belongs to one workload of one namespace; some bugs crash far more often than others.
  const bug = Math.floor(fleet.groups * spread(index, 1) ** 2);
  const namespace = `team-${String(bug % fleet.namespaces).padStart(3, "0")}`;
  const workload = `svc-${bug % 400}`;
  const hex = index.toString(16).padStart(12, "0");
  const crashId = `5d2f0c1e-8a4b-4c6d-9e7f-${hex}`;
  const name = `${crashId}-dump-${Math.floor(START_MS / 1000) + index}-${workload}-server-1-11`;
  const frames = [`handle_${bug}`, "serve", "main"].map((text, at) => ({
    pc: `0x7f0${at}`,
    module: 0,
    offset: `0x${at}40`,
    function: text,
    file: `${text}.cc`,
    line: (bug % 900) + at,
  }));
  const manifest = makeManifest(CORE, 40 + (index % 1000), {
    crashId,
    bundle: `${name}.zip`,
    crashedAt: new Date(START_MS + index * 1000).toISOString(),
    process: { pid: 1000 + (index % 4_000_000), comm: "server", exe: `/usr/bin/server-${bug % 50}`, uid: 1000 },
    node: { nodeName: `worker-${Math.floor(spread(index, 2) * fleet.nodes)}`, architecture: "x64" },
    signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: `0x${hex}` },
    container: {
      id: "c".repeat(64),
      name: "app",
      runtime: "containerd",
      imageRef: `registry.example/${workload}:1.${Math.floor((index / fleet.dumps) * 20)}`,
      restartCount: index % 40,
    },
    pod: {
      name: `${workload}-7c9f8d6b5-${hex.slice(-5)}`,
      namespace,
      uid: `1f3870be-274f-4c49-b3e3-${hex}`,
      owner: { kind: "Deployment", name: workload },
    },
    identity: { source: "oci-config", verified: true },
    site: `${bug.toString(16).padStart(12, "0")}cafe`,
    signature: `fault | handle_${bug} | serve @ server-${bug % 50}`,
    threads: [{ tid: 1, crashed: true, registers: { pc: `0x7f${hex}`, sp: "0x7ffc" }, stack: { frames, end: "top" } }],
  } as unknown as Partial<Sample>);
  return { stem: `${namespace}/${name}`, manifest };
}

/** A number from 0 to 1 that belongs to another one, without order. */
function spread(index: number, seed: number): number {
  let bits = Math.imul(index + 1, 2_654_435_761) ^ Math.imul(seed, 97_531);
  bits = Math.imul(bits ^ (bits >>> 15), 2_246_822_519);
  return ((bits ^ (bits >>> 13)) >>> 0) / 2 ** 32;
}

/** What a listing shows of each bundle and each manifest of the fleet. */
export interface Shown {
  stamp: string;
  bundleBytes: number;
  storedAt: number;
}

/**
 * Make MinIO hold the objects of a fleet: one bundle and one manifest are put through its API, and what it made of them on its
 * disk becomes all others, by links. Two million requests would take the better part of an hour. A server lists and reads each of them as
 * if it had been put; the contents of the manifests are all the same.
 * @param bucket the bucket's directory of MinIO with one disk
 */
export async function fillDisk(
  store: ObjectStore,
  bucket: string,
  fleet: Fleet,
  say: (text: string) => void,
): Promise<Shown> {
  const manifest = Buffer.from(JSON.stringify(dumpOf(fleet, 0).manifest));
  await store.putBytes("template.manifest.json", manifest);
  await store.putBytes("template.zip", Buffer.from("PK"));
  const sources = {
    ".zip": linksOf(bucket, "template.zip"),
    ".manifest.json": linksOf(bucket, "template.manifest.json"),
  };
  for (let namespace = 0; namespace < fleet.namespaces; namespace += 1)
    mkdirSync(join(bucket, `team-${String(namespace).padStart(3, "0")}`), { recursive: true });
  for (let index = 0; index < fleet.dumps; index += 1) {
    const { stem } = dumpOf(fleet, index);
    for (const [suffix, link] of Object.entries(sources)) link(join(bucket, `${stem}${suffix}`));
    if (index % 100_000 === 99_999) say(`${index + 1} dumps lie in MinIO`);
  }
  const seen = new Map<string, ObjectInfo>();
  for await (const object of store.list("template.")) seen.set(object.key, object);
  const [shownManifest, shownBundle] = [seen.get("template.manifest.json"), seen.get("template.zip")];
  if (shownManifest === undefined || shownBundle === undefined) throw new Error("the templates are not there");
  await store.delete("template.manifest.json");
  await store.delete("template.zip");
  const { sizeBytes: bundleBytes, modifiedAt } = shownBundle;
  return { stamp: stampOf(shownManifest), bundleBytes, storedAt: Math.round(modifiedAt) };
}

/** @returns makes the object of a directory's path */
function linksOf(bucket: string, key: string): (folder: string) => void {
  let source = join(bucket, key, "xl.meta");
  if (!readdirSync(dirname(source)).includes("xl.meta")) throw new Error("MinIO keeps its objects in another way");
  let links = 0;
  return (folder) => {
    mkdirSync(folder);
    const target = join(folder, "xl.meta");
    if (links === 0) {
      copyFileSync(source, target);
      source = target;
    } else linkSync(source, target);
    links = (links + 1) % LINKS_MAX;
  };
}

/** Fill an index with the fleet, as a replica does that has read every manifest. */
export function fillIndex(index: DumpIndex, fleet: Fleet, { stamp, bundleBytes, storedAt }: Shown): void {
  for (let at = 0; at < fleet.dumps; at += 1) {
    const { stem, manifest } = dumpOf(fleet, at);
    const head = headOf(manifest, stem);
    const facts = { stem, manifestStamp: stamp, bundleBytes, storedAt, keep: false };
    const place = { name: head.crashId, namespace: head.pod?.namespace ?? "", revision: 1, keepByPod: false };
    index.put(recordOf(head, facts, place, index.pool), { quiet: true });
  }
}
