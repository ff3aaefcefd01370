import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Health } from "@cdh/core/http-server";
import { smallest } from "@cdh/core/lists";
import type { Logger } from "@cdh/core/log";
import type { Desired } from "../change/desired.ts";
import { applyInstall, type ApplyOptions } from "../change/run-plan.ts";
import { countComplaints, KERNEL_REASONS, KernelLog } from "../check/kernel-log.ts";
import type { CaptureProof } from "../check/proof.ts";
import { proveInstall } from "../check/prove-install.ts";
import { composerVersion, selfTest } from "../check/self-test.ts";
import { readKernelValues } from "../node/kernel-values.ts";
import { readState } from "../node/state.ts";
import { inHostDir, NAMES, onNode, type Node } from "../node/target-node.ts";
import { unanswered, type AnsweringPaths } from "./answering-paths.ts";
import { CaptureWatch } from "./capture-watch.ts";
import { DriftReports } from "./drift-reports.ts";
import { findDrift, takeFingerprints, type Drift, type Fingerprints } from "./drift.ts";
import { FileChanges } from "./file-changes.ts";
import type { Lease } from "./lease.ts";
import { RepairBackoff } from "./repair-backoff.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

/** How often the kernel's three values are read: whoever changes them takes every crash away until they are put right. */
const GLANCE_MS = 1_000;

/** How to watch. */
export interface WatchOptions extends ApplyOptions {
  /** How often the kernel's values are compared. */
  intervalMs: number;
  /** How often the composer is proved again. */
  selfTestIntervalMs: number;
  /** How long a test crash may take to arrive; undefined: none is made. */
  proofTimeoutMs: number | undefined;
  logger: Logger;
  metrics: WatchMetrics;
  /** Says that this watch looks after the node. */
  lease: Lease;
  /** The directories that are looked after: while one does not answer, nothing is done to it. */
  paths?: AnsweringPaths;
  /** Ends the watch. */
  signal: AbortSignal;
  /** Told whenever the node becomes well or ill. */
  onHealth: (health: Health) => void;
}

/** Tell how a watch ended. */
export interface WatchResult {
  /** Another cdh-sysctl has installed something else meanwhile: the node is its business now. */
  superseded: boolean;
}

/**
 * Install, and keep it installed until the signal comes. What drifts is reported, with the value that was found and
 * how often, and put right; somebody who keeps changing it back makes us wait longer each time.
 * @throws {CdhError} when the first install fails
 */
export async function watchNode(node: Node, desired: Desired, options: WatchOptions): Promise<WatchResult> {
  const { clock } = node;
  const { logger, metrics, signal, proofTimeoutMs } = options;
  const proof = { mode: desired.mode, timeoutMs: proofTimeoutMs ?? 0, signal };
  let first: CaptureProof | undefined;
  const prove = async (): Promise<CaptureProof> => (first = await proveInstall(node, proof));
  // Before the kernel is told anything: a lease of long ago would have the first composer give everything back.
  options.lease.take();
  await applyInstall(node, desired, { ...options, ...(proofTimeoutMs === undefined ? {} : { prove }) });
  const capture =
    first === undefined
      ? undefined
      : new CaptureWatch(node, { ...options, ...proof, intervalMs: options.selfTestIntervalMs }, first);
  const watch = new Watch(node, desired, options, capture);
  metrics.installed(await composerVersion(node.roots, onNode(node, NAMES.composer)), desired.composer?.sha256);
  logger.info("installed", { hostDir: node.hostDir, coreDir: node.coreDir, mode: desired.mode });
  const changes = new FileChanges(inHostDir(node), [NAMES.composer, NAMES.env]);
  const kernelLog = KernelLog.open();
  // What the kernel said before is not news; status and doctor tell it.
  kernelLog.read();
  try {
    for (;;) {
      const silent = await options.paths?.silent(signal);
      if (silent === undefined) await watch.round();
      watch.listen(kernelLog);
      const health = silent === undefined ? watch.health() : unanswered(silent);
      options.onHealth(health);
      metrics.round(clock.now(), health.ok);
      if (signal.aborted) return { superseded: watch.superseded };
      if (silent !== undefined) await clock.sleep(GLANCE_MS, signal).catch(() => {});
      else await untilNextRound(watch, changes, clock.monotonic() + options.intervalMs, options, node);
    }
  } finally {
    changes.close();
    kernelLog.close();
    await capture?.settled();
  }
}

/** Wait until the next whole look: the interval is over, a file has changed, or the kernel's values have. */
async function untilNextRound(
  watch: Watch,
  changes: FileChanges,
  endsAt: number,
  { signal, paths }: WatchOptions,
  { clock }: Node,
): Promise<void> {
  let changed = false;
  const change = changes.next().then(() => (changed = true));
  for (;;) {
    const leftMs = endsAt - clock.monotonic();
    if (changed || signal.aborted || leftMs <= 0 || watch.valuesChanged()) return;
    if ((await paths?.silent(signal)) !== undefined) return;
    watch.tick();
    await Promise.race([clock.sleep(Math.min(GLANCE_MS, leftMs), signal).catch(() => {}), change]);
  }
}

class Watch {
  readonly #node: Node;
  readonly #desired: Desired;
  readonly #options: WatchOptions;
  readonly #backoff = new Map<string, RepairBackoff>();
  #fingerprints: Fingerprints;
  #installedAt: string | undefined;
  #drifts: Drift[] = [];
  readonly #reports: DriftReports;
  #repairProblem: string | undefined;
  #selfTestProblem: string | undefined;
  #selfTestAt = Number.NEGATIVE_INFINITY;
  #seenValues = "";
  readonly #capture: CaptureWatch | undefined;
  superseded = false;

  constructor(node: Node, desired: Desired, options: WatchOptions, capture: CaptureWatch | undefined) {
    this.#node = node;
    this.#capture = capture;
    this.#desired = desired;
    this.#options = options;
    this.#reports = new DriftReports(node, options);
    this.#fingerprints = takeFingerprints(node, desired);
    this.#installedAt = readState(node)?.installedAt;
    options.metrics.selfTest(node.clock.now(), true);
    this.#selfTestAt = node.clock.monotonic();
  }

  /** Look once, and put right what may be put right now. */
  async round(): Promise<void> {
    try {
      if (!this.superseded) this.#notice();
      if (this.#drifts.length === 0) this.#repairProblem = undefined;
      else await this.#repair();
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      this.#fail("cannot look at the node", error);
      this.#repairProblem = error.message;
      this.#options.metrics.error(this.#node.clock.now(), error.code);
    }
    if (
      this.#desired.composer !== undefined &&
      this.#node.clock.monotonic() - this.#selfTestAt >= this.#options.selfTestIntervalMs
    ) {
      await this.#test();
    }
    this.tick();
    this.#seenValues = this.#readValues();
  }

  /** Begin what is due and takes time. */
  tick(): void {
    if (this.superseded) return;
    this.#capture?.tick();
    try {
      this.#options.lease.keep();
    } catch (error) {
      // HOST_DIR is gone, or read-only: the round tells, and puts it right.
      this.#options.logger.warn("cannot renew the lease", { reason: reasonOf(error) });
    }
  }

  /** Tell whether the kernel's values are others than at the end of the last round. */
  valuesChanged(): boolean {
    return !this.superseded && this.#readValues() !== this.#seenValues;
  }

  /** Count what the kernel says of crashes that it could not hand over. */
  listen(kernelLog: KernelLog): void {
    const { logger, metrics } = this.#options;
    const counts = countComplaints(kernelLog.read());
    for (const reason of KERNEL_REASONS) {
      const count = counts[reason];
      if (count === undefined) continue;
      metrics.kernelComplained(reason, count);
      logger.warn("the kernel could not hand crashes over", { reason, count });
    }
  }

  #readValues(): string {
    try {
      return JSON.stringify(readKernelValues(this.#node.roots));
    } catch (error) {
      return reasonOf(error);
    }
  }

  health(): Health {
    const reasons = [
      ...this.#drifts.map(({ what, found }) => `${what} is ${found}`),
      ...(this.#repairProblem === undefined ? [] : [this.#repairProblem]),
      ...(this.#selfTestProblem === undefined ? [] : [this.#selfTestProblem]),
      ...(this.superseded || this.#capture?.problem === undefined ? [] : [this.#capture.problem]),
    ];
    return { ok: reasons.length === 0, reasons };
  }

  #notice(): void {
    const installedAt = readState(this.#node)?.installedAt;
    const isOther = installedAt !== undefined && installedAt !== this.#installedAt;
    if (isOther || this.#options.lease.hasSuccessor) {
      this.superseded = true;
      this.#drifts = [];
      this.#options.logger.warn("another cdh-sysctl has installed; this one only watches the composer now", {
        installedAt,
      });
      return;
    }
    this.#drifts = findDrift(this.#node, this.#desired, this.#fingerprints);
    this.#reports.tell(this.#drifts);
  }

  async #repair(): Promise<void> {
    const { clock } = this.#node;
    const { logger, metrics } = this.#options;
    // A value that somebody fights over does not keep us from bringing back a composer that was removed.
    const backoffs = this.#drifts.map(({ what }) => this.#backoffFor(what));
    const waitMs = smallest(
      backoffs.map((backoff) => backoff.waitMs(clock.monotonic())),
      Number.POSITIVE_INFINITY,
    );
    if (waitMs > 0) {
      this.#repairProblem = `somebody keeps changing it: the next repair comes in ${Math.ceil(waitMs / 1000)} s`;
      return;
    }
    for (const backoff of backoffs) backoff.repaired(clock.monotonic());
    try {
      await applyInstall(this.#node, this.#desired, this.#options);
      logger.info("put right", {
        what: this.#drifts.map(({ what }) => what),
        fighting: backoffs.some(({ fighting }) => fighting),
      });
      this.#fingerprints = takeFingerprints(this.#node, this.#desired);
      this.#installedAt = readState(this.#node)?.installedAt;
      this.#drifts = findDrift(this.#node, this.#desired, this.#fingerprints);
      this.#repairProblem = undefined;
      this.#reports.forget();
      this.#capture?.soon();
    } catch (error) {
      this.#fail("cannot put the node right", error);
      this.#repairProblem = reasonOf(error);
      metrics.error(clock.now(), error instanceof CdhError ? error.code : "bug");
    }
  }

  #backoffFor(what: string): RepairBackoff {
    const known = this.#backoff.get(what) ?? new RepairBackoff(this.#options.intervalMs * 2);
    this.#backoff.set(what, known);
    return known;
  }

  async #test(): Promise<void> {
    const { clock, roots } = this.#node;
    this.#selfTestAt = clock.monotonic();
    try {
      await selfTest(roots, onNode(this.#node, NAMES.composer));
      this.#selfTestProblem = undefined;
    } catch (error) {
      this.#selfTestProblem = reasonOf(error);
      this.#fail("the composer fails its self-test", error);
      this.#options.metrics.error(clock.now(), "CDH_ENVIRONMENT");
    }
    this.#options.metrics.selfTest(clock.now(), this.#selfTestProblem === undefined);
  }

  #fail(msg: string, error: unknown): void {
    const { logger } = this.#options;
    if (error instanceof CdhError) logger.error(msg, { reason: error.message, code: error.code, hint: error.hint });
    else logger.error(msg, { error });
  }
}
