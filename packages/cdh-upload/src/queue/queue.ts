import type { BundleFacts } from "./bundle-facts.ts";
import type { SpoolFile } from "./spool-scan.ts";

/** A bundle that waits for its turn. */
export interface QueueItem {
  file: SpoolFile;
  /** Name of the lane that it waits in: the rule of its store, or `default`. */
  lane: string;
  namespace: string;
  /** Whose bundle it is within the namespace: the pod's uid, or what stands for it. */
  pod: string;
  /** Kept from the first look when it is small and not too many are kept, so that most bundles are opened once. */
  facts?: BundleFacts | undefined;
  /** Not before this, in monotonic milliseconds. */
  notBefore: number;
  /** Failures in a row that were not the bundle's own. */
  failures: number;
  running: boolean;
  /** When it was first seen with this size and time, in monotonic milliseconds. */
  noticedAt: number;
  /** Its crash was counted, or had been before this program started. */
  reported: boolean;
}

/** Facts of so many bundles are kept, and so many bytes of manifests: a few megabytes at most. */
const FACTS_MAX = 512;
const FACTS_MAX_BYTES = 1024 * 1024;

/** The bundles of one pod that may begin now. */
interface Choice {
  newest: QueueItem;
  oldest: QueueItem;
}

/** How often somebody was served, and when last: a number that grows with each turn; 0 for never. */
interface Served {
  last: number;
  count: number;
}

/** Turns of this many namespaces and pods beyond those that wait are remembered. */
const TURNS_SPARE = 256;

/**
 * Hold what waits, and say whose turn it is, in each lane by itself. Namespaces take turns, and within a namespace its pods, so that one that
 * crashes in a loop holds up nobody else. Of a pod's own bundles the newest and the oldest go alternately: somebody waits
 * for the newest, and the oldest has waited longest.
 */
export class Queue {
  readonly #items = new Map<string, QueueItem>();
  /** The same items, by lane. */
  readonly #lanes = new Map<string, Set<QueueItem>>();
  /** The turns of each namespace, and of each pod, by {@link podKey}. */
  readonly #turns = new Map<string, Served>();
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

  /** @param lane only what waits there */
  items(lane?: string): Iterable<QueueItem> {
    return lane === undefined ? this.#items.values() : (this.#lanes.get(lane) ?? []);
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
    const lane = this.#lanes.get(item.lane) ?? new Set();
    this.#lanes.set(item.lane, lane.add(item));
  }

  remove(fileName: string): void {
    const item = this.#items.get(fileName);
    const facts = item?.facts;
    if (item !== undefined) this.#lanes.get(item.lane)?.delete(item);
    if (facts !== undefined) {
      this.#factsKept -= 1;
      this.#factsBytes -= facts.manifestBody.length;
    }
    this.#items.delete(fileName);
    if (this.#items.size === 0) this.#turns.clear();
  }

  /** Take the bundle of a lane whose turn it is; undefined when none may begin now. */
  take(now: number, lane: string): QueueItem | undefined {
    const { running, namespaces } = this.#survey(now, lane);
    const namespace = this.#next(namespaces.keys(), running, (name) => name);
    if (namespace === undefined) return undefined;
    const pods = namespaces.get(namespace) ?? new Map<string, Choice>();
    const pod = this.#next(pods.keys(), running, (name) => podKey(namespace, name)) ?? "";
    const choice = pods.get(pod);
    if (choice === undefined) return undefined;
    const turnsOfPod = this.#turns.get(podKey(namespace, pod))?.count ?? 0;
    const item = turnsOfPod % 2 === 0 ? choice.newest : choice.oldest;
    item.running = true;
    this.#turn += 1;
    for (const key of [namespace, podKey(namespace, pod)])
      this.#turns.set(key, { last: this.#turn, count: (this.#turns.get(key)?.count ?? 0) + 1 });
    if (this.#turns.size > 2 * this.#items.size + TURNS_SPARE) this.#forgetTurns();
    return item;
  }

  /** When the next bundle that waits in a lane may begin; undefined when none waits. */
  nextMoment(lane: string): number | undefined {
    let next: number | undefined;
    for (const item of this.items(lane)) {
      if (!item.running && (next === undefined || item.notBefore < next)) next = item.notBefore;
    }
    return next;
  }

  /** Count what runs, and find what may begin, by namespace and pod. */
  #survey(now: number, lane: string): { running: Map<string, number>; namespaces: Map<string, Map<string, Choice>> } {
    const running = new Map<string, number>();
    const namespaces = new Map<string, Map<string, Choice>>();
    for (const item of this.items(lane)) {
      const { namespace, pod } = item;
      if (item.running) {
        for (const key of [namespace, podKey(namespace, pod)]) running.set(key, (running.get(key) ?? 0) + 1);
        continue;
      }
      if (item.notBefore > now) continue;
      let pods = namespaces.get(namespace);
      if (pods === undefined) namespaces.set(namespace, (pods = new Map()));
      const choice = pods.get(pod);
      if (choice === undefined) pods.set(pod, { newest: item, oldest: item });
      else if (item.file.modifiedAt > choice.newest.file.modifiedAt) choice.newest = item;
      else if (item.file.modifiedAt < choice.oldest.file.modifiedAt) choice.oldest = item;
    }
    return { running, namespaces };
  }

  /** Of several, the one with the fewest under way; of these, the one whose last turn is the longest ago. */
  #next(
    names: Iterable<string>,
    running: ReadonlyMap<string, number>,
    keyOf: (name: string) => string,
  ): string | undefined {
    let best: { name: string; busy: number; last: number } | undefined;
    for (const name of names) {
      const key = keyOf(name);
      const [busy, last] = [running.get(key) ?? 0, this.#turns.get(key)?.last ?? 0];
      if (best === undefined || busy < best.busy || (busy === best.busy && last < best.last))
        best = { name, busy, last };
    }
    return best?.name;
  }

  /** Forget the turns of those that wait for nothing. */
  #forgetTurns(): void {
    const waiting = new Set<string>();
    for (const { namespace, pod } of this.#items.values()) waiting.add(namespace).add(podKey(namespace, pod));
    for (const key of this.#turns.keys()) if (!waiting.has(key)) this.#turns.delete(key);
  }
}

/** Namespaces hold no blank, so this is never one of them. */
function podKey(namespace: string, pod: string): string {
  return `${namespace} ${pod}`;
}
