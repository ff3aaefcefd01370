import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { Metrics } from "@cdh/core/metrics";
import type { ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "../index/dump-index.ts";
import type { Recall } from "../index/dump-store.ts";
import type { PlacementRules } from "../index/placement.ts";
import { SegmentFolder } from "./folder.ts";
import { loadSegments } from "./load.ts";
import { SegmentWriter } from "./writer.ts";

/** What the index in the store needs. */
export interface SegmentsOptions {
  store: ObjectStore;
  settings: { index: "write" | "read" | "off"; indexIntervalMs: number };
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** The index in the store, as the program uses it. */
export class Segments {
  readonly #options: SegmentsOptions;
  readonly #folder: SegmentFolder;
  readonly #counted: ReturnType<typeof declare>;

  constructor(options: SegmentsOptions) {
    const log = options.log.child({ part: "index" });
    this.#options = { ...options, log };
    this.#folder = new SegmentFolder(options.store);
    this.#counted = declare(options.metrics);
  }

  /** Fills the index of a replica that starts; absent where none is read. */
  get recall(): Recall | undefined {
    return this.#options.settings.index === "off" ? undefined : (index, signal) => this.#recall(index, signal);
  }

  /** What the replica does that leads; undefined where it writes none. */
  work(dumps: { index: DumpIndex; isListed: boolean; loadedAt: number | undefined }): LeadingWork | undefined {
    const { settings, rules, clock, log } = this.#options;
    if (settings.index !== "write") return undefined;
    const counted = this.#counted;
    const writer = new SegmentWriter({
      folder: this.#folder,
      index: dumps.index,
      rules,
      clock,
      log,
      listedAt: () => (dumps.isListed ? dumps.loadedAt : undefined),
      intervalMs: settings.indexIntervalMs,
      onRound: counted.round,
    });
    return { onChange: () => {}, run: (signal) => writer.run(signal) };
  }

  async #recall(index: DumpIndex, signal: AbortSignal): Promise<number | undefined> {
    const { rules, log, clock } = this.#options;
    const began = clock.monotonic();
    try {
      const loaded = await loadSegments({ folder: this.#folder, rules, index, pool: index.pool, log }, signal);
      const { valid, damaged, missing, dumps, listedAt } = loaded;
      const durationMs = Math.round(clock.monotonic() - began);
      this.#counted.recalled(dumps, damaged.length);
      if (valid.length === 0 || listedAt === undefined) return undefined;
      log.info("recalled the index from the store; the listing follows", {
        dumps,
        segments: valid.length,
        damaged: damaged.length,
        listedAt: new Date(listedAt).toISOString(),
        durationMs,
      });
      // What is not whole is shown when the listing has put it right.
      return damaged.length === 0 && missing.length === 0 ? listedAt : undefined;
    } catch (error) {
      if (!signal.aborted)
        log.warn("cannot recall the index from the store: manifests are read", { reason: reasonOf(error) });
      return undefined;
    }
  }
}

interface LeadingWork {
  onChange: (leads: boolean) => void;
  run: (signal: AbortSignal) => Promise<void>;
}

function declare(metrics: Metrics): {
  recalled: (dumps: number, damaged: number) => void;
  round: (outcome: { segments: number } | { failure: unknown }) => void;
} {
  const recalled = metrics.gauge(
    "cdh_api_index_recalled_dumps",
    "Dumps that this replica took from the index in the store when it started.",
  );
  const damaged = metrics.gauge(
    "cdh_api_index_damaged_segments",
    "Segments of the index that could not be read at the start.",
  );
  const rounds = metrics.counter(
    "cdh_api_index_writes_total",
    "Rounds of writing the index into the store, by outcome.",
  );
  const segments = metrics.gauge(
    "cdh_api_index_segments",
    "Segments of the index in the store, of the replica that leads.",
  );
  return {
    recalled: (dumps, count) => {
      recalled.set(dumps);
      damaged.set(count);
    },
    round: (outcome) => {
      rounds.inc({ outcome: "failure" in outcome ? "failed" : "done" });
      if ("segments" in outcome) segments.set(outcome.segments);
    },
  };
}
