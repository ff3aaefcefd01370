import type { Manifest, Problem } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import type { Crash } from "@cdh/core/kernel/crash";
import type { Logger } from "@cdh/core/log";
import type { Roots } from "@cdh/core/roots";
import type { CoreInput } from "./input.ts";
import type { Native } from "./native.ts";
import type { ComposerSettings } from "./settings.ts";

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
  native: Native | undefined;
  version: string;
  /** What went wrong before this, such as unreadable settings. */
  problems: Problem[];
  /** Called when the crashed process has been let go: what is left to do has time. */
  onRelease?: () => void;
}

/** What became of a crash. */
export type Outcome =
  | { kind: "published"; path: string; manifest: Manifest; exitCode: number }
  | { kind: "skipped"; reason: string; exitCode: number };
