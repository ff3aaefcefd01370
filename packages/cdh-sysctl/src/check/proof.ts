import { type Mode } from "../node/target-node.ts";
import { type KernelReason } from "./kernel-log.ts";

/** What became of a probe: a small program that was crashed to see whether its bundle arrives. */
export interface CaptureProof {
  /** ok: it arrived whole · warning: it arrived, and something about it is not as it should be · failed: it did not arrive. */
  outcome: "ok" | "warning" | "failed";
  /** What was found, as a sentence. */
  finding: string;
  advice?: string;
  /** True when a bundle or core arrived, whatever it held. */
  arrived: boolean;
  /** What the kernel said about this very crash. */
  kernel?: KernelReason;
  /** The probe itself could not be made to crash: this says nothing of the way behind it. */
  notCrashed?: true;
  /** From the crash to the end of the look, in ms. */
  tookMs: number;
}

/** How to prove. */
export interface ProofOptions {
  mode: Mode;
  /** How long the bundle may take. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** Where the kernel's log is. */
  kernelLog?: string;
}

/** What a look at the spool found of a probe. */
export type ProbeFinding = Pick<CaptureProof, "outcome" | "finding" | "advice">;
