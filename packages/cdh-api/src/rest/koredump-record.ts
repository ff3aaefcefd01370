import { compact } from "@cdh/core/base/records";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../index/placement.ts";
import type { Json } from "../kube/json.ts";
import type { TaskResults } from "../manifests/tasks.ts";

/** Node of dumps of which no node is known. */
export const NO_NODE = "_";

/** File name of a core as it lies in its bundle: with `.zst` it is compressed. */
export function coreNameOf(record: DumpRecord): string {
  const stem = bundleNameOf(record).replace(/\.zip$/, "");
  return record.compression === "zstd" ? `${stem}.core.zst` : `${stem}.core`;
}

/**
 * Describe a dump with the keys that koredump's clients know: those of the journal's entries, and koredump's own.
 * What only the whole manifest tells is there when it is given.
 */
export function koredumpRecord(record: DumpRecord, more: Partial<TaskResults["koredump"]> = {}): Json {
  const fields: Json = {
    id: record.name,
    node: record.nodeName ?? NO_NODE,
    pod: record.podName,
    container: record.containerName,
    namespace: record.podNamespace,
    image_name: record.imageRef,
    ARCH: record.architecture,
    COREDUMP_TIMESTAMP: record.crashedAt * 1000,
    COREDUMP_PID: record.pid,
    COREDUMP_UID: record.uid,
    COREDUMP_GID: more.gid,
    COREDUMP_SIGNAL: record.signalNumber,
    COREDUMP_SIGNAL_NAME: record.signalName,
    COREDUMP_COMM: record.comm,
    COREDUMP_EXE: record.exe,
    COREDUMP_CMDLINE: more.cmdline,
    COREDUMP_HOSTNAME: more.hostname,
    COREDUMP_RLIMIT: more.rlimitCoreBytes,
    COREDUMP_FILENAME: coreNameOf(record),
    COREDUMP_TRUNCATED: record.complete ? undefined : 1,
    _HOSTNAME: record.nodeName,
    _BOOT_ID: more.bootId,
  };
  return compact(fields);
}
