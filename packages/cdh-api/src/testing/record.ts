import type { DumpRecord } from "../index/dump-record.ts";
import { RecordPool } from "../index/record-pool.ts";

const pool = new RecordPool();

/** Make a record of the index for tests. */
export function makeRecord(changes: Partial<DumpRecord> = {}): DumpRecord {
  const name = changes.name ?? "one";
  return pool.pack({
    stem: `shop/${name}`,
    name,
    namespace: "shop",
    manifestStamp: "1",
    bundleBytes: 100,
    storedAt: 1_795_249_600_000,
    keep: false,
    revision: 1,
    crashedAt: 1_795_249_571_000,
    pid: 4211,
    uid: 1000,
    comm: "server",
    exe: "/usr/bin/server",
    signalNumber: 11,
    signalName: "SIGSEGV",
    codeName: "SEGV_MAPERR",
    faultAddress: "0x0",
    containerName: "app",
    imageRef: "registry.example/server:1",
    restartCount: 0,
    podName: "worker",
    podNamespace: "shop",
    podUid: "11111111-2222-3333-4444-555555555555",
    ownerKind: "Deployment",
    ownerName: "worker",
    nodeName: "worker-3",
    clusterName: undefined,
    architecture: "x64",
    compression: "zstd",
    coreBytes: 4096,
    coreStoredBytes: 100,
    expectedBytes: 4096,
    complete: true,
    truncatedBy: undefined,
    identitySource: "oci-config",
    identityVerified: true,
    restricted: false,
    suppressedCount: undefined,
    countedSince: undefined,
    problemCount: 0,
    summary: "SIGSEGV (null pointer) in pay() at pay.c:41 ← main()",
    where: "pay() at pay.c:41 ← main()",
    site: undefined,
    signature: undefined,
    keepByPod: false,
    ...changes,
  });
}
