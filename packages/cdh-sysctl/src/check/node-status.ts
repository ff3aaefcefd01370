import { type OtherHandler } from "../node/other-handlers.ts";
import { type SpoolFacts } from "../node/spool-facts.ts";
import { type Mode } from "../node/target-node.ts";
import { type KernelReason } from "./kernel-log.ts";
import type { CaptureProof } from "./proof.ts";

/** One of the three kernel settings: wanted, found, saved. */
export interface ValueStatus {
  name: string;
  desired: string;
  actual: string;
  /** The node's own value, when it is saved. */
  backup?: string;
  /** Why the saved value cannot be used. */
  backupProblem?: string;
  drift: boolean;
}

/** The composer in HOST_DIR. */
export interface ComposerStatus {
  path: string;
  installed: boolean;
  version?: string;
  sha256?: string;
  sizeBytes?: number;
  installedAt?: string;
  /** False when the file is not the one that was installed. */
  intact?: boolean;
}

/** What the kernel's log tells. */
export interface KernelLogFacts {
  counts: Partial<Record<KernelReason, number>>;
  /** When it last said so, RFC 3339. */
  lastAt?: string;
}

/** Everything that `status` tells. */
export interface NodeStatus {
  healthy: boolean;
  /** Somebody's composer gets the crashes now. */
  capturing: boolean;
  mode: Mode;
  hostDir: string;
  values: ValueStatus[];
  composer: ComposerStatus;
  spool: SpoolFacts;
  owners: OtherHandler[];
  /** Crashes that the kernel says it could not hand over, as far back as its log reaches; absent where it cannot be read. */
  kernelLog?: KernelLogFacts;
  /** What the core limit that containers inherit takes away, and what mends it; absent when it takes nothing. */
  runtimeLimits?: string;
  /** The crash that was made to see whether it arrives; absent when none was asked for. */
  capture?: Pick<CaptureProof, "outcome" | "finding" | "advice">;
  /** What is wrong, in words. */
  problems: string[];
}
