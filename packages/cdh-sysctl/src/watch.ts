import { watch as watchFiles } from "node:fs";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Health } from "@cdh/core/http-server";
import type { Logger } from "@cdh/core/log";
import { parseCorePattern } from "@cdh/core/kernel/pattern";
import { applyInstall, type ApplyOptions } from "./apply.ts";
import { findDrift, takeFingerprints, type Drift, type Fingerprints } from "./drift.ts";
import type { Desired } from "./install.ts";
import { inHostDir, NAMES, onNode, type Node } from "./node.ts";
import { Patience } from "./patience.ts";
import { composerVersion, selfTest } from "./self-test.ts";
import { readState } from "./state.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

/** How to watch. */
export interface WatchOptions extends ApplyOptions {
  /** How often the kernel's values are compared. */
  intervalMs: number;
  /** How often the composer is proved again. */
  selfTestIntervalMs: number;
  logger: Logger;
  metrics: WatchMetrics;
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
  const { logger, metrics, signal } = options;
  await applyInstall(node, desired, options);
  const watch = new Watch(node, desired, options);
  metrics.installed(await composerVersion(node.roots, onNode(node, NAMES.composer)), desired.composer?.sha256);
  logger.info("installed", { hostDir: node.hostDir, coreDir: node.coreDir, mode: desired.mode });
  const changes = new Changes(inHostDir(node));
  try {
    for (;;) {
      await watch.round();
      const health = watch.health();
      options.onHealth(health);
      metrics.round(clock.now(), health.ok);
      if (signal.aborted) return { superseded: watch.superseded };
      await Promise.race([clock.sleep(options.intervalMs, signal).catch(() => {}), changes.next()]);
    }
  } finally {
    changes.close();
  }
}

class Watch {
  private readonly node: Node;
  private readonly desired: Desired;
  private readonly options: WatchOptions;
  private readonly patience = new Map<string, Patience>();
  private fingerprints: Fingerprints;
  private installedAt: string | undefined;
  private drifts: Drift[] = [];
  private readonly counts = new Map<string, number>();
  private repairProblem: string | undefined;
  private selfTestProblem: string | undefined;
  private selfTestAt = Number.NEGATIVE_INFINITY;
  private announced = "";
  superseded = false;

  constructor(node: Node, desired: Desired, options: WatchOptions) {
    this.node = node;
    this.desired = desired;
    this.options = options;
    this.fingerprints = takeFingerprints(node, desired);
    this.installedAt = readState(node)?.installedAt;
    options.metrics.selfTest(node.clock.now(), true);
    this.selfTestAt = node.clock.monotonic();
  }

  /** Look once, and put right what may be put right now. */
  async round(): Promise<void> {
    try {
      if (!this.superseded) this.notice();
      if (this.drifts.length === 0) this.repairProblem = undefined;
      else await this.repair();
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      this.fail("cannot look at the node", error);
      this.repairProblem = error.message;
      this.options.metrics.error(this.node.clock.now(), error.code);
    }
    if (
      this.desired.composer !== undefined &&
      this.node.clock.monotonic() - this.selfTestAt >= this.options.selfTestIntervalMs
    ) {
      await this.test();
    }
  }

  health(): Health {
    const reasons = [
      ...this.drifts.map(({ what, found }) => `${what} is ${found}`),
      ...(this.repairProblem === undefined ? [] : [this.repairProblem]),
      ...(this.selfTestProblem === undefined ? [] : [this.selfTestProblem]),
    ];
    return { ok: reasons.length === 0, reasons };
  }

  private notice(): void {
    const { logger, metrics } = this.options;
    const installedAt = readState(this.node)?.installedAt;
    if (installedAt !== undefined && installedAt !== this.installedAt) {
      this.superseded = true;
      this.drifts = [];
      logger.warn("another cdh-sysctl has installed; this one only watches the composer now", { installedAt });
      return;
    }
    this.drifts = findDrift(this.node, this.desired, this.fingerprints);
    const shown = JSON.stringify(this.drifts);
    if (this.drifts.length > 0 && shown !== this.announced) {
      for (const { what, found, wanted } of this.drifts) {
        const count = (this.counts.get(what) ?? 0) + 1;
        this.counts.set(what, count);
        metrics.drifted(what);
        logger.warn("drift", {
          what,
          found,
          wanted,
          count,
          foundAt: toRfc3339(this.node.clock.now()),
          ...suspect(what, found),
        });
      }
    }
    this.announced = this.drifts.length > 0 ? shown : "";
  }

  private async repair(): Promise<void> {
    const { clock } = this.node;
    const { logger, metrics } = this.options;
    // A value that somebody fights over does not keep us from bringing back a composer that was removed.
    const patiences = this.drifts.map(({ what }) => this.patienceFor(what));
    const waitMs = Math.min(...patiences.map((patience) => patience.waitMs(clock.monotonic())));
    if (waitMs > 0) {
      this.repairProblem = `somebody keeps changing it: the next repair comes in ${Math.ceil(waitMs / 1000)} s`;
      return;
    }
    for (const patience of patiences) patience.repaired(clock.monotonic());
    try {
      await applyInstall(this.node, this.desired, this.options);
      logger.info("put right", {
        what: this.drifts.map(({ what }) => what),
        fighting: patiences.some(({ fighting }) => fighting),
      });
      this.fingerprints = takeFingerprints(this.node, this.desired);
      this.installedAt = readState(this.node)?.installedAt;
      this.drifts = findDrift(this.node, this.desired, this.fingerprints);
      this.repairProblem = undefined;
      this.announced = "";
    } catch (error) {
      this.fail("cannot put the node right", error);
      this.repairProblem = reasonOf(error);
      metrics.error(clock.now(), error instanceof CdhError ? error.code : "bug");
    }
  }

  private patienceFor(what: string): Patience {
    const known = this.patience.get(what) ?? new Patience(this.options.intervalMs * 2);
    this.patience.set(what, known);
    return known;
  }

  private async test(): Promise<void> {
    const { clock, roots } = this.node;
    this.selfTestAt = clock.monotonic();
    try {
      await selfTest(roots, onNode(this.node, NAMES.composer));
      this.selfTestProblem = undefined;
    } catch (error) {
      this.selfTestProblem = reasonOf(error);
      this.fail("the composer fails its self-test", error);
      this.options.metrics.error(clock.now(), "CDH_ENVIRONMENT");
    }
    this.options.metrics.selfTest(clock.now(), this.selfTestProblem === undefined);
  }

  private fail(msg: string, error: unknown): void {
    const { logger } = this.options;
    if (error instanceof CdhError) logger.error(msg, { reason: error.message, code: error.code, hint: error.hint });
    else logger.error(msg, { error });
  }
}

/** Wakes the watch when something in HOST_DIR changes; the interval catches what is missed. */
class Changes {
  private readonly stop = new AbortController();
  private wake: () => void = () => {};

  constructor(directory: string) {
    try {
      const watcher = watchFiles(directory, { signal: this.stop.signal, persistent: false }, (_event, name) => {
        if (name === NAMES.composer || name === NAMES.env) this.wake();
      });
      watcher.on("error", () => {});
    } catch {
      // No inotify here: the interval is enough.
    }
  }

  /** Resolves at the next change. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  close(): void {
    this.stop.abort();
  }
}

/** Say who may have set a core pattern: the program that it starts. */
function suspect(what: string, found: string): { by?: string } {
  if (what !== "kernel.core_pattern") return {};
  const pattern = parseCorePattern(found);
  return pattern.kind === "pipe" ? { by: pattern.executable } : {};
}
