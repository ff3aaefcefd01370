import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { append } from "../base/lists.ts";
import type { JsonObject } from "../base/records.ts";
import { onHost, type Roots } from "../base/roots.ts";
import { readBounded } from "./bounded-file.ts";
import { within, type Collected } from "./collected.ts";
import { tryParseObject } from "./json.ts";
import { tryParseDockerConfig, tryParseOciConfig, type RuntimeRecord } from "./runtime-record.ts";

/** State directories of containerd: plain, k3s and rke2, microk8s, k0s, docker's own. */
const CONTAINERD_STATES = [
  "/run/containerd",
  "/run/k3s/containerd",
  "/var/snap/microk8s/common/run/containerd",
  "/run/k0s/containerd",
  "/run/docker/containerd/daemon",
];
const CONTAINERD_TASKS = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];
/** The namespaces of Kubernetes and docker are tried first; others are listed. */
const CONTAINERD_NAMESPACES = ["k8s.io", "moby"];

/** Storage directories of CRI-O (and podman): the running one, then the one that outlives a reboot; IBM Cloud's. */
const CRIO_STORES = [
  "/run/containers/storage",
  "/var/lib/containers/storage",
  "/var/data/crioruntimestorage",
  "/var/data/criorootstorage",
];
const CRIO_DRIVERS = ["overlay-containers", "vfs-containers", "btrfs-containers"];

const DOCKER_CONTAINERS = ["/var/lib/docker/containers", "/var/snap/docker/common/var-lib-docker/containers"];

/** An OCI config with a full seccomp profile is some tens of kilobytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const MAX_NAMESPACES = 32;

/** A container's record, and where it was found. */
export interface FoundRecord extends RuntimeRecord {
  /** The record's file, on the node. */
  path: string;
}

/**
 * Find the runtime's own record of a container: one file below a directory that only root can write.
 * @param containerId checked by the caller: it becomes part of paths
 * @returns never rejects; a container that Kubernetes does not know gives a miss
 */
export async function findRuntimeRecord(
  roots: Roots,
  containerId: string,
  signal?: AbortSignal,
): Promise<Collected<FoundRecord>> {
  const tried: string[] = [];
  for await (const { path, parse } of candidates(roots, containerId, signal)) {
    const config = await readConfig(roots, path, signal);
    if (config === undefined) continue;
    const record = parse(config);
    if (record !== undefined) return { value: { ...record, path } };
    tried.push(path);
  }
  if (signal?.aborted === true)
    return { missing: "CDH_DEADLINE", detail: "no answer in time from the runtime's files" };
  return tried.length === 0
    ? { missing: "CDH_NOT_FOUND", detail: `no runtime's record of ${containerId}` }
    : { missing: "CDH_NOT_KUBERNETES", detail: `${tried.join(", ")} names no pod` };
}

interface Candidate {
  path: string;
  parse: (config: JsonObject) => RuntimeRecord | undefined;
}

async function* candidates(roots: Roots, id: string, signal: AbortSignal | undefined): AsyncGenerator<Candidate> {
  for (const state of CONTAINERD_STATES) {
    for (const tasks of CONTAINERD_TASKS) {
      const listed = await list(onHost(roots, join(state, tasks)), signal);
      const namespaces = CONTAINERD_NAMESPACES.filter((name) => listed.includes(name));
      append(
        namespaces,
        listed.filter((name) => !CONTAINERD_NAMESPACES.includes(name)),
      );
      for (const namespace of namespaces.slice(0, MAX_NAMESPACES)) {
        yield { path: join(state, tasks, namespace, id, "config.json"), parse: tryParseOciConfig };
      }
    }
  }
  for (const store of CRIO_STORES) {
    for (const driver of CRIO_DRIVERS) {
      yield { path: join(store, driver, id, "userdata/config.json"), parse: tryParseOciConfig };
    }
  }
  for (const directory of DOCKER_CONTAINERS) {
    yield { path: join(directory, id, "config.v2.json"), parse: tryParseDockerConfig };
  }
}

async function list(directory: string, signal: AbortSignal | undefined): Promise<string[]> {
  try {
    return (await within(readdir(directory), signal)).sort();
  } catch {
    return [];
  }
}

async function readConfig(
  roots: Roots,
  path: string,
  signal: AbortSignal | undefined,
): Promise<JsonObject | undefined> {
  try {
    const { bytes, cut } = await readBounded(onHost(roots, path), MAX_CONFIG_BYTES, signal);
    return cut ? undefined : tryParseObject(bytes.toString());
  } catch {
    return undefined;
  }
}
