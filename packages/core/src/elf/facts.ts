import type { Problem } from "../base/problem.ts";
import type { PackageFacts } from "./package-note.ts";

/** The machine that a core comes from. */
export interface CoreMachine {
  name: "x64" | "arm64" | "x86" | "arm" | "other";
  /** `e_machine` of the ELF header. */
  elfMachine: number;
  bits: 32 | 64;
  endian: "little" | "big";
}

/** What the kernel said about the signal (NT_SIGINFO), or only its number (NT_PRSTATUS). @see sigaction(2) */
export interface CoreSignal {
  number: number;
  code?: number;
  codeName?: string;
  /** Only for signals that the machine raised itself; a sent SIGSEGV has none. */
  faultAddress?: bigint;
  /** Who sent it, in the crashed process's own pid and user namespace. */
  senderPid?: number;
  senderUid?: number;
  /** Number of the system call that seccomp refused (SIGSYS). */
  syscall?: number;
}

/** NT_PRPSINFO. Ids are those of the process's own namespaces. */
export interface CoreProcess {
  /** Name of the process, at most 15 bytes. */
  fname: string;
  /** The first 79 bytes of the command line, arguments joined by blanks. */
  psargs: string;
  pid: number;
  ppid: number;
  pgrp: number;
  sid: number;
  uid: number;
  gid: number;
  /** One letter, as in ps(1). */
  state: string;
  nice: number;
}

/** One thread (NT_PRSTATUS). */
export interface CoreThread {
  /** Thread id in the process's own pid namespace. */
  tid: number;
  /** True for the thread that the signal hit: the kernel writes it first. */
  crashed: boolean;
  /** Absent for a machine whose registers are not read. */
  pc?: bigint;
  sp?: bigint;
  /** The frame pointer, on machines where compilers keep one in a fixed register (rbp, ebp, x29). */
  fp?: bigint;
  /** Every general register by the kernel's name; of the first {@link ElfLimits.registerSets} threads. */
  registers?: Record<string, bigint>;
}

/** One file mapping (NT_FILE). */
export interface CoreMapping {
  path: string;
  start: bigint;
  end: bigint;
  /** Where in the file the mapping starts, in bytes. */
  fileOffset: bigint;
}

/** One ELF file mapped into the process. */
export interface CoreModule {
  path: string;
  start: bigint;
  end: bigint;
  /** Where in the file the first mapping starts, in bytes, when that is not its beginning: Node maps its own code once more. */
  fileOffset?: bigint;
  /** NT_GNU_BUILD_ID in hexadecimal, when the file has one and its first page is in the core. */
  buildId?: string;
  /** SHA-256 of the whole file, lower-case hexadecimal, where it has no build-id and somebody read it: no core tells. */
  sha256?: string;
  /** The id that Go's linker gives, as text. */
  goBuildId?: string;
  /** FDO_PACKAGING_METADATA: which package the file came from. */
  package?: PackageFacts;
  /** Set for the program itself. */
  executable?: true;
}

/** NT_AUXV: what the kernel told the program when it started. @see getauxval(3) */
export interface AuxiliaryVector {
  entry?: bigint;
  /** Where the dynamic loader was loaded. */
  base?: bigint;
  phdr?: bigint;
  pageSize?: number;
  /** True for a program that gained rights when it started (AT_SECURE). */
  secure?: boolean;
  uid?: number;
  euid?: number;
  gid?: number;
  egid?: number;
  /** Where the vDSO lies. */
  sysinfoEhdr?: bigint;
  /** Address of the name that the program was started by. */
  execfn?: bigint;
  /** Address of the platform's name. */
  platform?: bigint;
}

/** One PT_LOAD: a piece of memory, and where the core holds it. */
export interface CoreSegment {
  vaddr: bigint;
  /** Offset in the core. */
  offset: number;
  /** Bytes in the core; less than `memSize` where the kernel left pages out. */
  fileSize: number;
  memSize: number;
  /** PF_X 1, PF_W 2, PF_R 4. */
  flags: number;
}

/** Everything that a core says about the crash before anyone looks at its memory. Absent means not said. */
export interface CoreFacts {
  /** True when the stream starts with the ELF header of a core. */
  isCore: boolean;
  machine?: CoreMachine;
  /** Bytes that arrived. */
  receivedBytes: number;
  /** Bytes that the headers promise. */
  expectedBytes?: number;
  /** True only when the headers could be read and every promised byte arrived. */
  complete: boolean;
  signal?: CoreSignal;
  process?: CoreProcess;
  /** The crashed one first; at most `ElfLimits.threads`. */
  threads: CoreThread[];
  /** Threads in the core, also those that are not listed. */
  threadCount: number;
  mappings: CoreMapping[];
  /** Whether the core lists the files that were mapped (NT_FILE): `cut` when the list is longer than is read. */
  fileList: "whole" | "cut" | "missing";
  modules: CoreModule[];
  auxv?: AuxiliaryVector;
  /** The name that the program was started by, where its stack is in the core. */
  execfn?: string;
  platform?: string;
  segments: CoreSegment[];
  problems: Problem[];
}

/** Bounds of what a reader keeps, so that no core, however hostile, takes more than a few tens of megabytes. */
export interface ElfLimits {
  /** Threads listed; more are only counted. */
  threads: number;
  /** Threads whose registers are all kept, the crashed one first. */
  registerSets: number;
  /** Bytes of NT_FILE that are read; more are dropped. */
  fileNoteBytes: number;
  mappings: number;
  /** PT_LOAD segments kept; `expectedBytes` counts all of them. */
  segments: number;
  /** Mapped files whose first page is looked at. */
  modules: number;
}

/** Enough for ten thousand threads and the largest heaps seen. */
export const DEFAULT_ELF_LIMITS: ElfLimits = {
  threads: 65536,
  registerSets: 1,
  fileNoteBytes: 8 * 1024 * 1024,
  mappings: 65536,
  segments: 131072,
  modules: 4096,
};

/** What a manifest has room for: more is only counted. For those who write one, and need nothing else of the core. */
export const MANIFEST_ELF_LIMITS: Partial<ElfLimits> = {
  threads: 4096,
  // The kernel leaves a longer one out, unless told otherwise. @see kernel.core_file_note_size_limit
  fileNoteBytes: 4 * 1024 * 1024,
  segments: 65_536,
};

/** Write an address as the manifest does: `0x7f00…`, lower case, no padding. */
export function formatAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}
