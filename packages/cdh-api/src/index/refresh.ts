import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { Semaphore } from "@cdh/core/store/semaphore";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "./dump-index.ts";
import type { DumpRecord } from "./dump-record.ts";
import { changedRecord, RecordPool } from "./packed-record.ts";
import { isKeptByPod, namespaceOf, nameOfStem, tryNameOf, type PlacementRules } from "./placement.ts";
import { recordOf } from "./record-of.ts";
import { BUNDLE_SUFFIX, isGarbage, KEEP_SUFFIX, MANIFEST_SUFFIX, readStoredHead, stampOf } from "./store-reader.ts";

/** Manifests that are read at the same time. */
const READS_MAX = 16;
/** Larger ones are read one after the other: read as objects they take several times their size. */
const LARGE_BYTES = 256 * 1024;
/** A dump that changes again and again while it is looked at is left to the next listing. */
const LOOKS_AT_ONE = 3;
/** The first look is told about now and then. */
const TELL_EACH = 10_000;

/** What a refresh needs. */
export interface RefreshOptions {
  store: ObjectStore;
  index: DumpIndex;
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
}

/** A dump that is new or changed, while the listing goes on. */
interface Draft {
  stamp: string;
  keep: boolean;
  bundleBytes: number | undefined;
  storedAt: number | undefined;
  record: DumpRecord | undefined;
}

/** What a listing showed. */
interface Listing {
  /** Stems that are as they were. */
  seen: ReadonlySet<string>;
  drafts: ReadonlyMap<string, Draft>;
  /** Whose bundle is another one. */
  changed: readonly DumpRecord[];
  keeps: ReadonlySet<string>;
  /** Stems that requests changed meanwhile. */
  touched: ReadonlySet<string>;
}

/** What one look at the store found. */
export interface Look {
  objects: number;
  changes: number;
  /** Manifests that are none, now in the store. */
  garbage: number;
  durationMs: number;
}

/**
 * Bring the index up to date: list the store, read the manifests that are new or changed, and drop what is gone. A
 * listing that fails half-way changes nothing.
 */
export class Refresher {
  readonly #options: RefreshOptions;
  readonly #pool = new RecordPool();
  readonly #reads = new Semaphore(READS_MAX);
  readonly #largeReads = new Semaphore(1);
  /** Stamps of manifests that could not be parsed: each is read once. */
  #garbage = new Map<string, string>();
  #loaded = false;

  constructor(options: RefreshOptions) {
    this.#options = options;
  }

  get garbageCount(): number {
    return this.#garbage.size;
  }

  /** @throws {CdhError} the CDH_STORE family; then the index is what it was */
  async look(signal?: AbortSignal): Promise<Look> {
    // What a request changes while the store is being listed is newer than what the listing says.
    const touched = new Set<string>();
    const unwatch = this.#options.index.watch(({ before, after }) => void touched.add((after ?? before)?.stem ?? ""));
    try {
      return await this.#look(touched, signal);
    } finally {
      unwatch();
    }
  }

  /**
   * Bring the index up to date about one dump, by what the store shows of it now.
   * @throws {CdhError} the CDH_STORE family; then the index is what it was
   */
  async lookAt(stem: string, signal?: AbortSignal): Promise<void> {
    const { index } = this.#options;
    // What changed while it was being looked at is newer than what was seen: then it is looked at again.
    for (let turn = 0; turn < LOOKS_AT_ONE; turn += 1) {
      const touched = new Set<string>();
      const unwatch = index.watch(({ before, after }) => void touched.add((after ?? before)?.stem ?? ""));
      try {
        const apply = await this.#seeOne(stem, signal);
        if (touched.has(stem)) continue;
        unwatch();
        apply();
        return;
      } finally {
        unwatch();
      }
    }
  }

  /** @returns brings into the index what was seen */
  async #seeOne(stem: string, signal: AbortSignal | undefined): Promise<() => void> {
    const { store, index, clock } = this.#options;
    const startedAt = clock.now();
    const seen: { manifest?: ObjectInfo; bundle?: ObjectInfo; keep: boolean } = { keep: false };
    for await (const object of store.list(`${stem}.`, signal === undefined ? {} : { signal })) {
      if (object.key === `${stem}${MANIFEST_SUFFIX}`) seen.manifest = object;
      else if (object.key === `${stem}${BUNDLE_SUFFIX}`) seen.bundle = object;
      else if (object.key === `${stem}${KEEP_SUFFIX}`) seen.keep = true;
    }
    const { manifest, bundle, keep } = seen;
    const known = index.byStem(stem);
    const revision = (): number => index.log.next(startedAt);
    if (manifest === undefined) return () => void (known !== undefined && index.remove(stem, revision()));
    const stored =
      bundle === undefined ? {} : { bundleBytes: bundle.sizeBytes, storedAt: Math.round(bundle.modifiedAt) };
    const stamp = stampOf(manifest);
    if (known?.manifestStamp === stamp) {
      const isKept = keep || known.keepByPod;
      if (known.keep === isKept) return () => {};
      return () => index.put(changedRecord(known, { keep: isKept, revision: revision() }));
    }
    if (this.#garbage.get(stem) === stamp) return () => {};
    const draft: Draft = { stamp, keep, bundleBytes: undefined, storedAt: undefined, record: undefined };
    await this.#read(stem, draft, manifest, this.#garbage, signal);
    const { record } = draft;
    return () => void (record !== undefined && this.#put(record, stored, revision(), false));
  }

  async #look(touched: ReadonlySet<string>, signal: AbortSignal | undefined): Promise<Look> {
    const { store, index, clock, log } = this.#options;
    const startedAt = clock.now();
    const began = clock.monotonic();
    const seen = new Set<string>();
    const drafts = new Map<string, Draft>();
    const changed: DumpRecord[] = [];
    const garbage = new Map<string, string>();
    const keeps = new Set<string>();
    const reading = new Set<Promise<void>>();
    let failure: unknown;
    let objects = 0;
    for await (const object of store.list("", signal === undefined ? {} : { signal })) {
      objects += 1;
      const { key } = object;
      if (key.endsWith(KEEP_SUFFIX)) keeps.add(key.slice(0, -KEEP_SUFFIX.length));
      else if (key.endsWith(MANIFEST_SUFFIX)) {
        // A copy: a part of a text keeps the whole text in memory.
        const stem = Buffer.from(key.slice(0, -MANIFEST_SUFFIX.length)).toString();
        const stamp = stampOf(object);
        const known = index.byStem(stem);
        if (known?.manifestStamp === stamp) {
          seen.add(known.stem);
          continue;
        }
        if (this.#garbage.get(stem) === stamp) {
          garbage.set(stem, stamp);
          continue;
        }
        const draft: Draft = {
          stamp,
          keep: keeps.has(stem),
          bundleBytes: undefined,
          storedAt: undefined,
          record: undefined,
        };
        drafts.set(stem, draft);
        const task = (object.sizeBytes > LARGE_BYTES ? this.#largeReads : this.#reads)
          .run(async () => {
            if (failure === undefined) await this.#read(stem, draft, object, garbage, signal);
          })
          .catch((error: unknown) => void (failure ??= error))
          .finally(() => reading.delete(task));
        reading.add(task);
        // The listing must not run far ahead of what is read.
        while (reading.size >= 4 * READS_MAX) await Promise.race(reading);
        if (!this.#loaded && drafts.size % TELL_EACH === 0) log.info("reading manifests", { count: drafts.size });
      } else if (key.endsWith(BUNDLE_SUFFIX)) {
        const stem = key.slice(0, -BUNDLE_SUFFIX.length);
        const draft = drafts.get(stem);
        if (draft !== undefined) {
          draft.bundleBytes = object.sizeBytes;
          draft.storedAt = Math.round(object.modifiedAt);
        } else {
          const known = index.byStem(stem);
          const same = known?.bundleBytes === object.sizeBytes && known.storedAt === Math.round(object.modifiedAt);
          if (known !== undefined && !same) {
            changed.push(
              changedRecord(known, { bundleBytes: object.sizeBytes, storedAt: Math.round(object.modifiedAt) }),
            );
          }
        }
      }
      if (failure !== undefined) break;
    }
    await Promise.all(reading);
    if (failure !== undefined) throw failure;

    const changes = this.#apply(startedAt, { seen, drafts, changed, keeps, touched: new Set(touched) });
    this.#garbage = garbage;
    const durationMs = clock.monotonic() - began;
    index.log.looked(startedAt, durationMs);
    return { objects, changes, garbage: garbage.size, durationMs };
  }

  async #read(
    stem: string,
    draft: Draft,
    object: ObjectInfo,
    garbage: Map<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { store, rules, log } = this.#options;
    try {
      const manifest = await readStoredHead(store, stem, signal);
      if (manifest === undefined) return;
      const facts = {
        stem,
        manifestStamp: draft.stamp,
        bundleBytes: undefined,
        storedAt: Math.round(object.modifiedAt),
        keep: draft.keep,
      };
      const namespace = namespaceOf(manifest, rules);
      const place = { name: tryNameOf(manifest) ?? nameOfStem(stem), namespace, revision: 0 };
      draft.record = recordOf(manifest, facts, { ...place, keepByPod: isKeptByPod(manifest) }, this.#pool);
    } catch (error) {
      if (!isGarbage(error)) throw error;
      garbage.set(stem, draft.stamp);
      log.warn("a manifest is garbage and is left out", { stem, reason: reasonOf(error) });
    }
  }

  /** Bring everything into the index at once, so that nobody sees half of it. */
  #apply(startedAt: number, { seen, drafts, changed, keeps, touched }: Listing): number {
    const { index } = this.#options;
    const { log } = index;
    let changes = 0;
    const first = this.#loaded ? undefined : log.next(startedAt);
    if (first !== undefined) log.begin(first);
    const revision = (): number => first ?? log.next(startedAt);
    for (const record of index.records()) {
      if (seen.has(record.stem) || touched.has(record.stem) || drafts.get(record.stem)?.record !== undefined) continue;
      index.remove(record.stem, revision());
      changes += 1;
    }
    for (const [stem, { record, bundleBytes, storedAt }] of drafts) {
      if (record === undefined || touched.has(stem)) continue;
      const stored = storedAt === undefined ? {} : { bundleBytes, storedAt };
      this.#put(record, stored, revision(), first !== undefined);
      changes += 1;
    }
    for (const record of changed) {
      if (touched.has(record.stem)) continue;
      index.put(changedRecord(record, { revision: revision() }));
      changes += 1;
    }
    for (const record of index.records()) {
      const keep = keeps.has(record.stem) || record.keepByPod;
      if (record.keep === keep || touched.has(record.stem)) continue;
      index.put(changedRecord(record, { keep, revision: revision() }));
      changes += 1;
    }
    this.#loaded = true;
    return changes;
  }

  #put(
    record: DumpRecord,
    stored: { bundleBytes?: number | undefined; storedAt?: number },
    revision: number,
    quiet: boolean,
  ): void {
    const { index } = this.#options;
    const taken = index.byName(record.name);
    const name = taken === undefined || taken.stem === record.stem ? record.name : nameOfStem(record.stem);
    // Filled in, not copied: an object that is spread together takes several times the memory.
    index.put(Object.assign(record, stored, { name, revision }), { quiet });
  }
}
