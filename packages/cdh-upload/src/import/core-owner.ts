import { readdir } from "node:fs/promises";
import type { ContainerFacts, Manifest, PodFacts, Problem } from "@cdh/core/bundle/manifest";
import { identify } from "@cdh/core/container/identify";
import { POD_LOGS } from "@cdh/core/container/kubelet-files";
import { isNamespaceName, isObjectName } from "@cdh/core/container/runtime-record";
import { isPodUid } from "@cdh/core/kernel/cgroup";
import { onHost, type Roots } from "@cdh/core/roots";
import { findJournalRecord, type JournalOptions } from "./journal.ts";

/** Where systemd-coredump itself stores cores, whatever the directory is called here. */
const SYSTEMD_DIRECTORY = "/var/lib/systemd/coredump";

/** Whose crash a core of systemd-coredump is. */
export interface CoreOwner {
  identity: NonNullable<Manifest["identity"]>;
  pod?: PodFacts;
  container?: ContainerFacts;
  problems: Problem[];
}

/** Where owners are looked for. */
export interface OwnerOptions {
  /** The node's root, as far as it is seen from here: the runtime's records and the kubelet's log folders. */
  roots: Roots;
  journal: JournalOptions;
}

/**
 * Find whose crash a core of systemd-coredump is. Only the journal knows the cgroup; then the names are found as the
 * composer does. Without a record there is the host name, which any pod may set as it likes: it is told, unverified,
 * where exactly one pod of the node has it.
 */
export async function findCoreOwner(
  core: { fileName: string; hostname: string | undefined },
  { roots, journal }: OwnerOptions,
): Promise<CoreOwner> {
  const record = await findJournalRecord(`${SYSTEMD_DIRECTORY}/${core.fileName}`, journal);
  if (record === undefined || typeof record === "string") {
    const detail = record ?? "the journal has no record of systemd-coredump's own of this core";
    const problems = [{ step: "journal", code: "CDH_JOURNAL_RECORD", detail }];
    const pod = await findByHostname(roots, core.hostname);
    return pod === undefined
      ? { identity: { source: "none", verified: false }, problems }
      : { identity: { source: "hostname", verified: false }, pod, problems };
  }
  const found = await identify({
    roots,
    crash: { problems: [], raw: {}, rest: [] },
    process: { state: "verified", files: [], problems: [], cgroup: record.cgroup },
    ...(journal.signal === undefined ? {} : { signal: journal.signal }),
  });
  const { source, verified, pod, container, problems } = found;
  return {
    identity: { source, verified },
    problems,
    ...(pod === undefined ? {} : { pod }),
    ...(container === undefined ? {} : { container }),
  };
}

/** The kubelet names a pod's log folder `<namespace>_<name>_<uid>`, and its host name is the pod's name. */
async function findByHostname(roots: Roots, hostname: string | undefined): Promise<PodFacts | undefined> {
  if (hostname === undefined || !isObjectName(hostname)) return undefined;
  const folders = await readdir(onHost(roots, POD_LOGS)).catch(() => []);
  const pods = folders.flatMap((folder): PodFacts[] => {
    const [namespace = "", name = "", uid = "", ...more] = folder.split("_");
    const fits = name === hostname && more.length === 0 && isNamespaceName(namespace) && isPodUid(uid);
    return fits ? [{ name, namespace, uid }] : [];
  });
  return pods.length === 1 ? pods[0] : undefined;
}
