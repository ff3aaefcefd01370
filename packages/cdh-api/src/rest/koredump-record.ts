import type { Manifest } from "@cdh/core/bundle/manifest";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../download/bundle.ts";
import type { Json } from "../kube/coredump.ts";

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
export function koredumpRecord(record: DumpRecord, manifest?: Manifest): Json {
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
    COREDUMP_GID: manifest?.process.gid,
    COREDUMP_SIGNAL: record.signalNumber,
    COREDUMP_SIGNAL_NAME: record.signalName,
    COREDUMP_COMM: record.comm,
    COREDUMP_EXE: record.exe,
    COREDUMP_CMDLINE: manifest?.process.cmdline?.join(" "),
    COREDUMP_HOSTNAME: manifest?.process.hostname,
    COREDUMP_RLIMIT: manifest?.process.rlimitCoreBytes,
    COREDUMP_FILENAME: coreNameOf(record),
    COREDUMP_TRUNCATED: record.complete ? undefined : 1,
    _HOSTNAME: record.nodeName,
    _BOOT_ID: manifest?.node.bootId,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
