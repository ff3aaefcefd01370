import type { Manifest, Problem } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import type { Crash } from "@cdh/core/kernel/crash";
import type { Logger } from "@cdh/core/log";
import type { Roots } from "@cdh/core/roots";
import type { CoreInput } from "./self/input.ts";
import type { MemoryBound } from "./self/memory-bound.ts";
import type { Native } from "./self/native.ts";
import type { TimeLimit } from "./self/time-limit.ts";
import type { CrashStacks } from "./stack/crash-stacks.ts";

/** One crash and everything needed to keep it. */
export interface ComposeRequest {
  input: CoreInput;
  crash: Crash;
  settings: ComposerSettings;
  /** Directory of the spool. */
  coreDir: string;
  /** Directory of the composer's executable, HOST_DIR. */
  exeDir: string;
  roots: Roots;
  clock: Clock;
  log: Logger;
  native: Native;
  version: string;
  /** What went wrong before this, such as unreadable settings. */
  problems: readonly Problem[];
  /** Reads the stacks of a process that the kernel holds; absent where they are not wanted, or nobody holds it. */
  stacks?: CrashStacks | undefined;
  /** Called when the crashed process has been let go: what is left to do has time. */
  onRelease?: () => void;
}

/** What became of a crash. */
export type Outcome =
  | { kind: "published"; path: string; manifest: Manifest; exitCode: number }
  | { kind: "skipped"; reason: string; exitCode: number };

/** A crash that is being kept: the request, its name in this world, its bounds. Each stage picks what it needs of it. */
export interface Work extends ComposeRequest {
  crashId: string;
  /** Epoch milliseconds, as the kernel says; else when the composer was started. */
  crashedAtMs: number;
  /** Monotonic milliseconds. */
  startedAt: number;
  /** TIMEOUT, and the watch over calls that do not answer. */
  limit: TimeLimit;
  /** MEMORY_MAX. */
  memory: MemoryBound;
  /** What is called when the work has ended, well or not, the last first. It waits for nothing. */
  ends: DisposableStack;
}
