import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { Metrics } from "@cdh/core/metrics";
import type { ObjectStore } from "@cdh/core/store/store";
import type { Change } from "../index/change-log.ts";
import type { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { Recall } from "../index/dump-store.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import { placeOf, type PlacementRules } from "../index/placement.ts";
import { SegmentFolder } from "./folder.ts";
import { loadSegments, type Loaded } from "./load.ts";
import { Past, pastOf } from "./past.ts";
import { SegmentWriter } from "./writer.ts";

/** Segments that are put together while they are read are read again, so often. */
const LOADS_MAX = 3;
/** Dumps that went last: one of them that comes back is not counted as gone any more. */
const LATELY_MAX = 2000;

/** What the index in the store needs. */
export interface SegmentsOptions {
  store: ObjectStore;
  settings: { index: "write" | "read" | "off"; indexIntervalMs: number };
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Told of a namespace in which more crashes are known whose dumps are gone. */
  onPast: (namespace: string) => void;
}

/** The index in the store, as the program uses it. */
export class Segments {
  readonly #options: SegmentsOptions;
  readonly #folder: SegmentFolder;
  readonly #counted: ReturnType<typeof declare>;
  /** By namespace, as dumps are placed. */
  readonly #past: Past;
  /** What was counted of dumps that went last, by their keys. */
  readonly #lately = new Map<string, PastCrashes>();
  #isStartingOver = false;

  constructor(options: SegmentsOptions) {
    const log = options.log.child({ part: "index" });
    this.#options = { ...options, log };
    this.#past = new Past((one) => placeOf(one, options.rules));
    this.#folder = new SegmentFolder(options.store);
    this.#counted = declare(options.metrics);
  }

  /** Fills the index of a replica that starts; absent where none is read. */
  get recall(): Recall | undefined {
    return this.#options.settings.index === "off" ? undefined : (index, signal) => this.#recall(index, signal);
  }

  /** Crashes of a namespace whose dumps are gone. */
  pastOf(namespace: string): Iterable<PastCrashes> {
    return this.#past.of(namespace);
  }

  /** Take in a change of the dumps, before the groups do: one that is gone is counted on, until it comes back. */
  follow({ before, after }: Change): void {
    if (this.#options.settings.index === "off" || this.#isStartingOver) return;
    if (before !== undefined && after === undefined) this.#countGone(before);
    else if (before === undefined && after !== undefined && this.#lately.size > 0) this.#takeBack(after);
  }

  #countGone(record: DumpRecord): void {
    const crashes = pastOf(record);
    this.#past.merge(crashes);
    this.#lately.set(record.stem, crashes);
    if (this.#lately.size <= LATELY_MAX) return;
    for (const first of this.#lately.keys()) return void this.#lately.delete(first);
  }

  #takeBack({ stem }: DumpRecord): void {
    const crashes = this.#lately.get(stem);
    if (crashes === undefined) return;
    this.#lately.delete(stem);
    this.#past.takeBack(crashes);
    this.#options.onPast(placeOf(crashes, this.#options.rules));
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
    const { rules, log, clock, onPast } = this.#options;
    const began = clock.monotonic();
    try {
      const loaded = await this.#load(index, signal);
      const { valid, damaged, missing, dumps, listedAt } = loaded;
      for (const one of loaded.past.values()) {
        this.#past.merge(one);
        onPast(placeOf(one, rules));
      }
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
        log.warn(
          "cannot recall the index from the store: manifests are read, and groups count no dumps that are gone",
          {
            reason: reasonOf(error),
          },
        );
      return undefined;
    }
  }

  /** Read all segments; once more where one was put together with others before it was read: what it told of the past is elsewhere. */
  async #load(index: DumpIndex, signal: AbortSignal): Promise<Loaded> {
    const { rules, log } = this.#options;
    for (let turn = 1; ; turn += 1) {
      const loaded = await loadSegments({ folder: this.#folder, rules, index, pool: index.pool, log }, signal);
      if (loaded.missing.length === 0) return loaded;
      if (turn === LOADS_MAX) {
        log.warn("segments went while they were read: groups may count fewer of the dumps that are gone", {
          missing: loaded.missing.length,
        });
        return loaded;
      }
      this.#isStartingOver = true;
      for (const { stem } of index.records()) index.remove(stem, index.log.last);
      this.#isStartingOver = false;
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
