import type { BundleFacts } from "./bundle-facts.ts";
import type { SpoolFile } from "./spool-scan.ts";

/** A bundle that waits for its turn. */
export interface QueueItem {
  file: SpoolFile;
  namespace: string;
  /** Kept from the first look when it is small and not too many are kept, so that most bundles are opened once. */
  facts?: BundleFacts | undefined;
  /** On the clock that never jumps: not before this. */
  notBefore: number;
  /** Failures in a row that were not the bundle's own. */
  failures: number;
  running: boolean;
  /** When it was first seen with this size and time, on the clock that never jumps. */
  noticedAt: number;
  /** Its crash was counted, or had been before this program started. */
  reported: boolean;
}

/** Facts of so many bundles are kept, and so many bytes of manifests: a few megabytes at most. */
const FACTS_MAX = 512;
const FACTS_MAX_BYTES = 1024 * 1024;

/**
 * Hold what waits, and say whose turn it is: namespaces take turns, so that one that crashes in a loop does not hold up
 * the others, and within a namespace the newest comes first, because somebody waits for it.
 */
export class Queue {
  readonly #items = new Map<string, QueueItem>();
  /** When each namespace had its last turn. */
  readonly #turns = new Map<string, number>();
  #turn = 0;
  #factsKept = 0;
  #factsBytes = 0;

  get size(): number {
    return this.#items.size;
  }

  /** How many are being worked on. */
  get running(): number {
    return [...this.#items.values()].filter((item) => item.running).length;
  }

  items(): Iterable<QueueItem> {
    return this.#items.values();
  }

  get(fileName: string): QueueItem | undefined {
    return this.#items.get(fileName);
  }

  add(item: QueueItem): void {
    this.remove(item.file.fileName);
    const bytes = item.facts?.manifestBody.length ?? 0;
    if (this.#factsKept >= FACTS_MAX || this.#factsBytes + bytes > FACTS_MAX_BYTES) delete item.facts;
    if (item.facts !== undefined) {
      this.#factsKept += 1;
      this.#factsBytes += bytes;
    }
    this.#items.set(item.file.fileName, item);
  }

  remove(fileName: string): void {
    const facts = this.#items.get(fileName)?.facts;
    if (facts !== undefined) {
      this.#factsKept -= 1;
      this.#factsBytes -= facts.manifestBody.length;
    }
    this.#items.delete(fileName);
    if (this.#items.size === 0) this.#turns.clear();
  }

  /** Take the bundle whose turn it is; undefined when none may begin now. */
  take(now: number): QueueItem | undefined {
    const running = new Map<string, number>();
    for (const item of this.#items.values()) {
      if (item.running) running.set(item.namespace, (running.get(item.namespace) ?? 0) + 1);
    }
    let best: QueueItem | undefined;
    for (const item of this.#items.values()) {
      if (item.running || item.notBefore > now) continue;
      if (best === undefined || this.#goesBefore(item, best, running)) best = item;
    }
    if (best === undefined) return undefined;
    best.running = true;
    this.#turns.set(best.namespace, ++this.#turn);
    return best;
  }

  /** When the next waiting bundle may begin; undefined when none waits. */
  nextMoment(): number | undefined {
    let next: number | undefined;
    for (const item of this.#items.values()) {
      if (!item.running && (next === undefined || item.notBefore < next)) next = item.notBefore;
    }
    return next;
  }

  #goesBefore(a: QueueItem, b: QueueItem, running: ReadonlyMap<string, number>): boolean {
    if (a.namespace === b.namespace) return a.file.modifiedAt > b.file.modifiedAt;
    const busy = (running.get(a.namespace) ?? 0) - (running.get(b.namespace) ?? 0);
    if (busy !== 0) return busy < 0;
    return (this.#turns.get(a.namespace) ?? 0) < (this.#turns.get(b.namespace) ?? 0);
  }
}
