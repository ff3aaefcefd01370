/**
 * Manifest v1: `N-manifest.json`, the last entry of a bundle, and `N.manifest.json` beside it in the store.
 * Absent means unknown; readers ignore fields they do not know. docs/on-disk.md describes each field.
 */
export interface Manifest {
  schemaVersion: 1;
  /** UUID of this crash; the same in every file about it. */
  crashId: string;
  /** File name of the bundle, `N.zip`. */
  bundle: string;
  /** When the kernel saw the crash, RFC 3339 UTC. */
  crashedAt: string;
  composer: { version: string; durationMs?: number; drainMs?: number; maxRssBytes?: number };
  node: { nodeName?: string; clusterName?: string; architecture?: string; kernelRelease?: string; bootId?: string };
  process: ProcessFacts;
  signal: SignalFacts;
  core: CoreEntry;
  container?: ContainerFacts;
  pod?: PodFacts;
  identity?: { source: IdentitySource; verified: boolean };
  /** True for dump mode 2: the process was not dumpable by its own user, so only administrators may read the core. */
  restricted?: boolean;
  threads?: ThreadFacts[];
  modules?: ModuleFacts[];
  /** Crashes of the same workload that were counted and not kept since the last bundle. */
  suppressed?: { count: number; since: string };
  problems: Problem[];
}

/** Describe the crashed process. Ids are the host's unless the name says otherwise. */
export interface ProcessFacts {
  pid?: number;
  pidInNamespace?: number;
  tid?: number;
  uid?: number;
  gid?: number;
  /** The kernel's name of the process, at most 15 bytes. */
  comm?: string;
  /** Path of the executable in the process's own root. */
  exe?: string;
  exeBuildId?: string;
  cmdline?: string[];
  hostname?: string;
  startedAt?: string;
  /** Soft RLIMIT_CORE; absent when unlimited. */
  rlimitCoreBytes?: number;
  /** 0 not dumpable, 1 as the user, 2 as root only. @see core(5) %d */
  dumpMode?: number;
}

/** Describe the signal that ended the process. @see sigaction(2) */
export interface SignalFacts {
  number: number;
  name: string;
  code?: number;
  codeName?: string;
  /** Hexadecimal with `0x`. */
  faultAddress?: string;
  senderPid?: number;
  senderUid?: number;
}

/** Why a core is not whole. */
export type TruncatedBy = "rlimit" | "coreSizeMax" | "keepFree" | "maxUse" | "deadline" | "shortRead" | "diskFull";

/** How the core lies in the bundle. */
export type Compression = "zstd" | "deflate" | "none";

/** Describe the core's entry in the bundle. */
export interface CoreEntry {
  /** Name of the zip entry. */
  entry: string;
  compression: Compression;
  /** Uncompressed bytes in the bundle. */
  sizeBytes: number;
  /** Bytes the entry takes in the zip. */
  storedBytes: number;
  /** SHA-256 of the uncompressed core, hexadecimal. */
  sha256?: string;
  /** What the program headers promise. */
  expectedBytes?: number;
  /** True only when every promised byte is in the bundle. */
  complete: boolean;
  truncatedBy?: TruncatedBy;
}

/** Describe the container. */
export interface ContainerFacts {
  id: string;
  name?: string;
  runtime?: string;
  imageRef?: string;
  imageId?: string;
  restartCount?: number;
}

/** Describe the pod. */
export interface PodFacts {
  name?: string;
  namespace?: string;
  uid?: string;
  sandboxId?: string;
  labels?: Record<string, string>;
  owner?: { kind: string; name: string };
}

/** Where the pod's identity was learnt, most to least trustworthy. */
export type IdentitySource = "oci-config" | "kubelet" | "crictl" | "hostname" | "none";

/** Describe one thread; addresses are hexadecimal with `0x`. */
export interface ThreadFacts {
  tid: number;
  crashed?: boolean;
  /** All general registers of the crashed thread; `pc` and `sp` of the others. */
  registers: Record<string, string>;
}

/** Describe one file mapped into the process. */
export interface ModuleFacts {
  path: string;
  start: string;
  end: string;
  buildId?: string;
  /** FDO_PACKAGING_METADATA of the file, when it has one. */
  package?: Record<string, unknown>;
}

/** Record something that could not be learnt or done, and why. */
export interface Problem {
  step: string;
  code: string;
  detail?: string;
}
