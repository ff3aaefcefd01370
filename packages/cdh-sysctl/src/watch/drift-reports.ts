import { toRfc3339 } from "@cdh/core/clock";
import { parseCorePattern } from "@cdh/core/kernel/pattern";
import type { Logger } from "@cdh/core/log";
import type { Node } from "../node/target-node.ts";
import type { Drift } from "./drift.ts";
import type { WatchMetrics } from "./watch-metrics.ts";

/** Tell of drift once, however long it stays, and count how often each thing drifted. */
export class DriftReports {
  readonly #node: Node;
  readonly #logger: Logger;
  readonly #metrics: WatchMetrics;
  readonly #counts = new Map<string, number>();
  #told = "";

  constructor(node: Node, { logger, metrics }: { logger: Logger; metrics: WatchMetrics }) {
    this.#node = node;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** Log and count what a look has found; none: all is as it should be. */
  tell(drifts: readonly Drift[]): void {
    const shown = JSON.stringify(drifts);
    if (drifts.length > 0 && shown !== this.#told) drifts.forEach((drift) => this.#report(drift));
    this.#told = drifts.length > 0 ? shown : "";
  }

  /** Tell of the same drift again when it comes back after a repair. */
  forget(): void {
    this.#told = "";
  }

  #report({ what, found, wanted }: Drift): void {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    this.#metrics.drifted(what);
    const foundAt = toRfc3339(this.#node.clock.now());
    this.#logger.warn("drift", { what, found, wanted, count, foundAt, ...suspect(what, found) });
  }
}

/** Say who may have set a core pattern: the program that it starts, or the socket that it names. */
function suspect(what: string, found: string): { by?: string } {
  if (what !== "kernel.core_pattern") return {};
  const pattern = parseCorePattern(found);
  if (pattern.kind === "socket") return { by: pattern.path };
  return pattern.kind === "pipe" ? { by: pattern.executable } : {};
}
