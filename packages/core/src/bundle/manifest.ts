import { PROBLEM_FIELDS, type Problem } from "../base/problem.ts";
import { ListOf, Literal, Opaque, optional, shape, Words, type TypeOf } from "../base/shape.ts";
import type { PackageFacts } from "../elf/package-note.ts";

/** Describe the crashed process. Ids are the host's unless the name says otherwise. */
export const PROCESS_FIELDS = shape({
  pid: optional("number"),
  pidInNamespace: optional("number"),
  tid: optional("number"),
  uid: optional("number"),
  gid: optional("number"),
  /** The kernel's name of the process, at most 15 bytes. */
  comm: optional("text"),
  /** Path of the executable in the process's own root. */
  exe: optional("text"),
  exeBuildId: optional("text"),
  cmdline: optional("texts"),
  hostname: optional("text"),
  startedAt: optional("text"),
  /** Soft RLIMIT_CORE; absent when unlimited. */
  rlimitCoreBytes: optional("number"),
  /** 0 not dumpable, 1 as the user, 2 as root only. @see core(5) %d */
  dumpMode: optional("number"),
});

/** Describe the node. */
export const NODE_FIELDS = shape({
  nodeName: optional("text"),
  clusterName: optional("text"),
  architecture: optional("text"),
  kernelRelease: optional("text"),
  /** With hyphens, as the kernel writes it. */
  bootId: optional("text"),
  /** Of its first processor, as the kernel names it, and the version of its microcode: absent where the kernel tells none, as on arm64. */
  cpuModel: optional("text"),
  microcode: optional("text"),
});

/** Describe the signal that ended the process; number 0 without a name when it is not known. @see sigaction(2) */
export const SIGNAL_FIELDS = shape({
  number: "number",
  name: "text",
  code: optional("number"),
  codeName: optional("text"),
  /** Hexadecimal with `0x`. */
  faultAddress: optional("text"),
  senderPid: optional("number"),
  senderUid: optional("number"),
});

/** How the core lies in the bundle. */
const COMPRESSION = new Words(["zstd", "deflate", "none"], "none");

/** Why a core is not whole. */
export const TRUNCATED_BY = new Words(
  ["rlimit", "coreSizeMax", "keepFree", "maxUse", "deadline", "shortRead", "diskFull", "keptEnough", "rateLimit"],
  "shortRead",
);

/** Describe the core's entry in the bundle. */
export const CORE_FIELDS = shape({
  /** Name of the zip entry. */
  entry: "text",
  compression: COMPRESSION,
  /** Uncompressed bytes in the bundle. */
  sizeBytes: "number",
  /** Bytes the entry takes in the zip. */
  storedBytes: "number",
  /** SHA-256 of the uncompressed core, hexadecimal. */
  sha256: optional("text"),
  /** What the program headers promise. */
  expectedBytes: optional("number"),
  /** True only when every promised byte is in the bundle. */
  complete: "flag",
  truncatedBy: optional(TRUNCATED_BY),
});

/** Describe the container. */
const CONTAINER_FIELDS = shape({
  id: "text",
  name: optional("text"),
  runtime: optional("text"),
  imageRef: optional("text"),
  imageId: optional("text"),
  restartCount: optional("number"),
});

/** Describe the pod. */
const POD_FIELDS = shape({
  name: optional("text"),
  namespace: optional("text"),
  uid: optional("text"),
  sandboxId: optional("text"),
  labels: optional("textMap"),
  owner: optional({ kind: "text", name: "text" }),
});

/** Where the pod's identity was learnt, most to least trustworthy. */
const IDENTITY_SOURCE = new Words(["oci-config", "kubelet", "crictl", "hostname", "none"], "none");

/** Describe one function on a stack. */
const FRAME_FIELDS = shape({
  pc: "text",
  /** Index into the manifest's `modules`. */
  module: optional("number"),
  /** From the beginning of the module's file. */
  offset: optional("text"),
  /** As a person would write it; of C++ and Rust, demangled. */
  function: optional("text"),
  /** From the function's beginning. */
  functionOffset: optional("text"),
  /** Source file, as the compiler wrote it. */
  file: optional("text"),
  line: optional("number"),
  /** The function is inlined into the next one, whose frame it shares. */
  inlined: optional("flag"),
  /** The kernel's frame of a signal: the next frame is what the signal interrupted. */
  signal: optional("flag"),
  /** `python`: a function of a language that the module runs; `pc`, `module` and `offset` are the interpreter's. */
  kind: optional("text"),
  /** What told of the frame: `table`, `framePointer`, `link` or `top`; absent for the innermost one. */
  trust: optional("text"),
});

/** Describe a thread's stack. */
const STACK_FIELDS = shape({
  /** The innermost first. Functions that are inlined are frames of their own, before the one that they are inlined into. */
  frames: new ListOf(FRAME_FIELDS),
  /** Frames that were walked and are not listed, and before which of the listed ones they come. */
  leftOut: optional({ before: "number", count: "number" }),
  /**
   * Why it ends: `outermost` where it is whole; else `noTable`, `notCode`, `noMemory`, `loop`, `limit` or `machine`. With the
   * address of `noTable` and `noMemory`, and the return address (`value`) of `notCode`.
   */
  end: { kind: "text", address: optional("text"), value: optional("text") },
});

/** Describe one thread; addresses are hexadecimal with `0x`. */
const THREAD_FIELDS = shape({
  tid: "number",
  crashed: optional("flag"),
  /** The kernel's name of the thread, at most 15 bytes. */
  name: optional("text"),
  /** All general registers of the crashed thread; `pc` and `sp` of the others. */
  registers: "textMap",
  /** As the node read it when the process crashed. */
  stack: optional(STACK_FIELDS),
});

/**
 * Describe what the program said of its own end. Each text is one line without control characters, its length bounded. It may
 * hold what the program works with: lists and notices say `kind` and `text` alone, and nothing of restricted crashes.
 */
const MESSAGE_FIELDS = shape({
  /** `assert`, `abort`, `panic`, `terminate` or `fatal`. */
  kind: "text",
  /** The line that says it. */
  text: "text",
  /** The lines that follow it. */
  more: optional("texts"),
  /** Where it was read: `memory` of the process, or its container's `log`. */
  source: "text",
});

/** Describe one file mapped into the process. */
const MODULE_FIELDS = shape({
  path: "text",
  start: "text",
  end: "text",
  /** Where in the file it starts, when that is not the beginning: `0x1627000`. */
  fileOffset: optional("text"),
  buildId: optional("text"),
  /** Of the whole file, where it has no build-id: the store keeps it under this. */
  sha256: optional("text"),
  /** FDO_PACKAGING_METADATA of the file, when it has one: the specification's fields. */
  package: optional(new Opaque<PackageFacts>()),
});

/**
 * Manifest v1: `N-manifest.json`, the last entry of a bundle, and `N.manifest.json` beside it in the store.
 * Absent means unknown; readers ignore fields they do not know. docs/on-disk.md describes each field. The types and what
 * readers check both come from this table.
 */
export const MANIFEST_FIELDS = shape({
  schemaVersion: new Literal(1),
  /** UUID of this crash; the same in every file about it. */
  crashId: "text",
  /** File name of the bundle, `N.zip`. */
  bundle: "text",
  /** When the kernel saw the crash, RFC 3339 UTC. */
  crashedAt: "text",
  composer: {
    version: "text",
    durationMs: optional("number"),
    drainMs: optional("number"),
    maxRssBytes: optional("number"),
    /** How the core was taken, and why not faster. */
    take: optional({
      from: new Words(["pipe", "memory"], "pipe"),
      as: new Words(["raw", "packed"], "packed"),
      reasons: optional("texts"),
      /** It was ended by SIGKILL once all was read: TAKE_KILL_ABOVE. */
      killed: optional("flag"),
    }),
  },
  node: NODE_FIELDS,
  process: PROCESS_FIELDS,
  signal: SIGNAL_FIELDS,
  message: optional(MESSAGE_FIELDS),
  /** What may come from failing hardware as well as from a bug. @see HardwareSign */
  signs: optional("texts"),
  core: CORE_FIELDS,
  container: optional(CONTAINER_FIELDS),
  pod: optional(POD_FIELDS),
  identity: optional({ source: IDENTITY_SOURCE, verified: "flag" }),
  /** True for dump mode 2: the process was not dumpable by its own user, so only administrators may read the core. */
  restricted: optional("flag"),
  /** Where in its files it happened, hashed: the same for one bug in one build. */
  site: optional("text"),
  /** Functions in which it happened, normalised: the same for one bug in all builds. `assert | check_total | pay @ checkout`. */
  signature: optional("text"),
  threads: optional(new ListOf(THREAD_FIELDS)),
  modules: optional(new ListOf(MODULE_FIELDS)),
  /** Crashes of the same workload that were counted and not kept since the last bundle. */
  suppressed: optional({ count: "number", since: "text" }),
  /** The place in its program as registers and stack told before the stack was walked, hashed with its workload: for those whose stack was not. */
  place: optional("text"),
  /** Why its place is not known: however many cores of it are there, this one was taken. Only where `KEEP_PER_SITE` asks. */
  placeUnknown: optional("text"),
  /** Of a core that was not taken because enough of its place were: a crash of the same place whose core was taken whole. */
  wholeCore: optional({ crashId: "text", bundle: "text" }),
  /** This report stands for so many crashes of one place that a limit left out, itself the last of them. */
  counted: optional({ count: "number", first: "text", last: "text" }),
  /** Fields that were learnt after the crash: from whom, when, and which. Only in the manifest beside a bundle in the store. */
  completed: optional({ from: new Words(["kubernetes"], "kubernetes"), at: "text", fields: "texts" }),
  problems: new ListOf(PROBLEM_FIELDS),
});

/** What a bundle says about its crash. @see MANIFEST_FIELDS */
export type Manifest = TypeOf<typeof MANIFEST_FIELDS>;
/** What is known of the node. */
export type NodeDescription = TypeOf<typeof NODE_FIELDS>;
/** What is known of the crashed process. */
export type ProcessFacts = TypeOf<typeof PROCESS_FIELDS>;
/** What is known of the signal. */
export type SignalFacts = TypeOf<typeof SIGNAL_FIELDS>;
/** Why a core is not whole. */
export type TruncatedBy = TypeOf<typeof TRUNCATED_BY>;
/** How the core lies in the bundle. */
export type Compression = TypeOf<typeof COMPRESSION>;
/** The core's entry in the bundle. */
export type CoreEntry = TypeOf<typeof CORE_FIELDS>;
/** What is known of the container. */
export type ContainerFacts = TypeOf<typeof CONTAINER_FIELDS>;
/** What is known of the pod. */
export type PodFacts = TypeOf<typeof POD_FIELDS>;
/** Where the pod's identity was learnt, most to least trustworthy. */
export type IdentitySource = TypeOf<typeof IDENTITY_SOURCE>;
/** One thread; addresses are hexadecimal with `0x`. */
export type ThreadFacts = TypeOf<typeof THREAD_FIELDS>;
/** The stack of one thread, as far as it was walked. */
export type StackFacts = TypeOf<typeof STACK_FIELDS>;
/** One frame of a stack. */
export type FrameFacts = TypeOf<typeof FRAME_FIELDS>;
/** One file mapped into the process. */
export type ModuleFacts = TypeOf<typeof MODULE_FIELDS>;
export type { Problem };
