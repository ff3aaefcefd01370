import type { Logger } from "@cdh/core/log";
import { proveCapture } from "../check/capture-proof.ts";
import type { CaptureProof } from "../check/proof.ts";
import type { Mode, Node } from "../node/target-node.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

/** Misses in a row that make a node ill: on a busy node one probe may come late or find no place. */
const MISSES = 3;

/** How soon a probe that missed is made again, in ms. */
const RETRY_MS = 10_000;

/** How to look after capture. */
export interface CaptureWatchOptions {
  mode: Mode;
  /** How often a crash is made while all is well, in ms. */
  intervalMs: number;
  /** How long its bundle may take, in ms. */
  timeoutMs: number;
  logger: Logger;
  metrics: WatchMetrics;
  signal: AbortSignal;
}

/**
 * Tell whether a probe that failed says that crashes are not captured: it arrived and is not as it should be, the kernel
 * says that it could not start the composer, or it is one of several in a row. A node that is full drops one, and is well.
 * @param misses probes that failed in a row, this one included
 */
export function isWholeObservation(
  { arrived, kernel }: Pick<CaptureProof, "arrived" | "kernel">,
  misses: number,
): boolean {
  return arrived || kernel === "pipe_failed" || misses >= MISSES;
}

/**
 * Prove again and again that a crash arrives, beside everything else that a watch does. What makes the node ill: a probe
 * that the kernel says it could not hand over to the composer, one that arrived damaged, or three in a row that missed.
 */
export class CaptureWatch {
  readonly #node: Node;
  readonly #options: CaptureWatchOptions;
  #nextAt: number;
  #misses = 0;
  #problem: string | undefined;
  #running: Promise<void> | undefined;

  /** @param first what the install has found */
  constructor(node: Node, options: CaptureWatchOptions, first: CaptureProof) {
    this.#node = node;
    this.#options = options;
    this.#nextAt = 0;
    this.#take(first);
    // An install makes several probes: what it could not prove is not well until a look does.
    if (!first.arrived) this.#problem = `not proved yet: ${first.finding}`;
  }

  /** Why crashes are not captured; undefined while they are. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Begin a probe when its time has come. Never waits. */
  tick(): void {
    if (this.#running !== undefined || this.#node.clock.monotonic() < this.#nextAt) return;
    const { mode, timeoutMs, signal } = this.#options;
    this.#running = proveCapture(this.#node, { mode, timeoutMs, signal })
      .then((proof) => {
        // A probe that was broken off says nothing.
        if (!signal.aborted) this.#take(proof);
      })
      .catch((error: unknown) => {
        this.#options.logger.error("cannot prove capture", { error });
        this.#nextAt = this.#node.clock.monotonic() + RETRY_MS;
      })
      .finally(() => (this.#running = undefined));
  }

  /** Look again at once: something has changed. */
  soon(): void {
    this.#nextAt = 0;
  }

  /** Resolves when no probe is under way. */
  async settled(): Promise<void> {
    await this.#running;
  }

  #take(proof: CaptureProof): void {
    const { logger, metrics, intervalMs } = this.#options;
    const { clock } = this.#node;
    const { outcome, finding, advice, kernel, tookMs } = proof;
    const well = outcome !== "failed";
    this.#misses = well ? 0 : this.#misses + 1;
    this.#nextAt = clock.monotonic() + (well ? intervalMs : Math.min(intervalMs, RETRY_MS));
    metrics.captureProof(clock.now(), well, tookMs);
    if (well) {
      this.#problem = undefined;
      logger.debug("a crash arrived", { finding, tookMs });
      return;
    }
    if (isWholeObservation(proof, this.#misses)) this.#problem = finding;
    logger.warn("a test crash did not arrive", { reason: finding, hint: advice, kernel, misses: this.#misses, tookMs });
  }
}
