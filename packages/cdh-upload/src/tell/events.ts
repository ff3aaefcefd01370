import type { BundleFacts } from "../queue/bundle-facts.ts";
import type { SpoolFile } from "../queue/spool-scan.ts";
import type { UploadedBundle } from "../send/upload-bundle.ts";

/** What an attempt with one bundle led to. */
export type Outcome = (
  | { status: "uploaded"; file: SpoolFile; uploaded: UploadedBundle; durationMs: number }
  | { status: "retried"; file: SpoolFile; error: unknown; waitMs: number; durationMs: number; waiting?: Waiting }
  | { status: "quarantined"; file: SpoolFile; error: unknown; path: string; durationMs: number }
  | { status: "unfinished"; file: SpoolFile; error: unknown; durationMs: number }
  | { status: "gone"; file: SpoolFile; durationMs: number }
  | { status: "stopped"; file: SpoolFile; durationMs: number }
) & {
  /** The rule whose store it is for; absent for the default store. */
  rule?: string | undefined;
};

/** What is told when a bundle waits for the first time because a rule's store is in trouble. */
export interface Waiting {
  facts: BundleFacts;
  store: string;
}

/** A file that was removed to make room. */
export interface VacuumedFile {
  fileName: string;
  sizeBytes: number;
  kind: "uploaded" | "quarantined" | "unsent";
  /** Known for bundles that were given up. */
  facts?: BundleFacts | undefined;
}

/** Who wants to know what happens. Nobody here may throw or hold anything up. */
export interface UploadEvents {
  /** A crash that this node reported for the first time. */
  crashed?(file: SpoolFile, facts: BundleFacts): void;
  began?(file: SpoolFile): void;
  progress?(file: SpoolFile, sentBytes: number): void;
  ended?(outcome: Outcome): void;
  /** @param rule whose store it is; absent for the default store */
  storeTrouble?(error: unknown, waitMs: number, rule?: string): void;
  storeRecovered?(rule?: string): void;
  vacuumed?(file: VacuumedFile): void;
}

/** Somebody who passes on what happens. */
export interface Talker extends UploadEvents {
  /** Send what waits, each once more. */
  settle(): Promise<void>;
  /** Give up what still waits. */
  close(): void;
}

/** Tell several who want to know. */
export function combineEvents(listeners: readonly UploadEvents[]): UploadEvents {
  return {
    crashed: (file, facts) => listeners.forEach((each) => each.crashed?.(file, facts)),
    began: (file) => listeners.forEach((each) => each.began?.(file)),
    progress: (file, sentBytes) => listeners.forEach((each) => each.progress?.(file, sentBytes)),
    ended: (outcome) => listeners.forEach((each) => each.ended?.(outcome)),
    storeTrouble: (error, waitMs, rule) => listeners.forEach((each) => each.storeTrouble?.(error, waitMs, rule)),
    storeRecovered: (rule) => listeners.forEach((each) => each.storeRecovered?.(rule)),
    vacuumed: (file) => listeners.forEach((each) => each.vacuumed?.(file)),
  };
}
