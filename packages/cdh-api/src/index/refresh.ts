import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "./dump-index.ts";
import { ManifestReader } from "./manifest-reader.ts";
import type { PackedRecord } from "./packed-record.ts";
import { nameOfStem, type PlacementRules } from "./placement.ts";
import { fill } from "./record-pool.ts";
import { SEEN } from "./row-block.ts";
import { BUNDLE_SUFFIX, KEEP_SUFFIX, MANIFEST_SUFFIX, stampOf } from "./store-reader.ts";

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

/** What the listing tells of a bundle. */
type Stored = Partial<Pick<PackedRecord, "bundleBytes" | "storedAt">>;

/** A dump that is new or changed, while the listing goes on. */
interface Draft {
  stored: Stored;
  record: PackedRecord | undefined;
}

/** One look while it goes on. */
interface Listing {
  /** Nobody is shown the index yet: what is read goes into it at once, and is not held beside it. */
  readonly isQuiet: boolean;
  readonly revision: () => number;
  readonly drafts: Map<string, Draft>;
  /** What is different of dumps whose manifest is the same. */
  readonly changed: Map<string, Stored & { keep?: boolean }>;
  readonly keeps: Set<string>;
  readonly garbage: Map<string, string>;
  /** Stems that requests changed meanwhile. */
  readonly touched: ReadonlySet<string>;
  readonly signal: AbortSignal | undefined;
  read: number;
  /** Dumps that went into the index at once. */
  put: number;
}

/** What one look at the store found. */
export interface Look {
  objects: number;
  changes: number;
  /** Manifests that had to be read. */
  read: number;
  /** Manifests that are none, now in the store. */
  garbage: number;
  durationMs: number;
}

/**
 * Bring the index up to date: list the store, read the manifests that are new or changed, and drop what is gone. Once the
 * index is shown, a listing that fails half-way changes nothing.
 */
export class Refresher {
  readonly #options: RefreshOptions;
  readonly #reader: ManifestReader;
  /** Stamps of manifests that could not be parsed: each is read once. */
  #garbage = new Map<string, string>();
  #isShown = false;

  constructor(options: RefreshOptions) {
    this.#options = options;
    this.#reader = new ManifestReader({ ...options, pool: options.index.pool });
  }

  get garbageCount(): number {
    return this.#garbage.size;
  }

  /** Begin the history: from now on the index is shown, as it was filled by another. */
  show(): void {
    const { log } = this.#options.index;
    this.#isShown = true;
    log.begin(log.last);
  }

  /** @throws {CdhError} the CDH_STORE family */
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
    const stamp = stampOf(manifest);
    if (known?.manifestStamp === stamp) {
      const isKept = keep || known.keepByPod;
      if (known.keep === isKept) return () => {};
      return () => index.put(index.pool.changed(known, { keep: isKept, revision: revision() }));
    }
    if (this.#garbage.get(stem) === stamp) return () => {};
    const record = await this.#reader.read(stem, manifest, keep, { garbage: this.#garbage, signal });
    const stored = bundle === undefined ? {} : storedOf(bundle);
    return () => void (record !== undefined && this.#put({ record, stored }, revision(), false));
  }

  async #look(touched: ReadonlySet<string>, signal: AbortSignal | undefined): Promise<Look> {
    const { store, index, clock } = this.#options;
    const startedAt = clock.now();
    const began = clock.monotonic();
    const isQuiet = !this.#isShown;
    const first = isQuiet ? index.log.next(startedAt) : undefined;
    const revision = (): number => first ?? index.log.next(startedAt);
    const made = {
      drafts: new Map(),
      changed: new Map(),
      keeps: new Set<string>(),
      garbage: new Map(),
      read: 0,
      put: 0,
    };
    const listing: Listing = { ...made, isQuiet, revision, touched, signal };
    const reading = this.#reader.begin();
    for (const block of index.pool.blocks) block?.flags.forEach((flags, row, all) => (all[row] = flags & ~SEEN));
    let objects = 0;
    for await (const object of store.list("", signal === undefined ? {} : { signal })) {
      objects += 1;
      const { key } = object;
      if (key.endsWith(KEEP_SUFFIX)) listing.keeps.add(key.slice(0, -KEEP_SUFFIX.length));
      else if (key.endsWith(MANIFEST_SUFFIX)) {
        const task = this.#seeManifest(listing, key.slice(0, -MANIFEST_SUFFIX.length), object);
        if (task !== undefined) await reading.add(task, object.sizeBytes);
      } else if (key.endsWith(BUNDLE_SUFFIX)) this.#seeBundle(listing, key.slice(0, -BUNDLE_SUFFIX.length), object);
      if (reading.hasFailed) break;
    }
    await reading.end();
    const changes = listing.put + this.#apply(listing);
    if (first !== undefined) index.log.begin(first);
    this.#isShown = true;
    this.#garbage = listing.garbage;
    const durationMs = clock.monotonic() - began;
    index.log.looked(startedAt, durationMs);
    return { objects, changes, read: listing.read, garbage: listing.garbage.size, durationMs };
  }

  /** @returns reads the manifest, where that is new */
  #seeManifest(listing: Listing, text: string, object: ObjectInfo): (() => Promise<void>) | undefined {
    const { index, log } = this.#options;
    const { pool } = index;
    // A copy: a part of a text keeps the whole text in memory.
    const stem = Buffer.from(text).toString();
    const stamp = stampOf(object);
    const keep = listing.keeps.has(stem);
    const id = index.idOfStem(stem);
    if (id >= 0) {
      const known = pool.at(id);
      if (known.manifestStamp === stamp) {
        pool.setFlags(id, SEEN);
        if (known.keep !== (keep || known.keepByPod)) this.#note(listing, stem, { keep: keep || known.keepByPod });
        return undefined;
      }
    }
    if (this.#garbage.get(stem) === stamp) {
      listing.garbage.set(stem, stamp);
      return undefined;
    }
    const draft: Draft = { stored: {}, record: undefined };
    listing.drafts.set(stem, draft);
    listing.read += 1;
    if (listing.isQuiet && listing.read % TELL_EACH === 0) log.info("reading manifests", { count: listing.read });
    return async () => {
      draft.record = await this.#reader.read(stem, object, keep, listing);
      if (!listing.isQuiet) return;
      listing.drafts.delete(stem);
      if (draft.record === undefined) return;
      pool.setFlags(this.#put(draft, listing.revision(), true), SEEN);
      listing.put += 1;
    };
  }

  #seeBundle(listing: Listing, stem: string, object: ObjectInfo): void {
    const stored = storedOf(object);
    const draft = listing.drafts.get(stem);
    if (draft !== undefined) {
      draft.stored = stored;
      return;
    }
    const known = this.#options.index.byStem(stem);
    if (known === undefined) return;
    if (known.bundleBytes !== stored.bundleBytes || known.storedAt !== stored.storedAt)
      this.#note(listing, stem, stored);
  }

  /** Note what is different of a dump; where nobody is shown it, it is put right at once. */
  #note(listing: Listing, stem: string, change: Stored & { keep?: boolean }): void {
    const { index } = this.#options;
    const id = listing.isQuiet ? index.idOfStem(stem) : -1;
    if (id >= 0) fill(index.pool.at(id), change);
    else listing.changed.set(stem, { ...listing.changed.get(stem), ...change });
  }

  /** Bring everything into the index at once, so that nobody sees half of it. */
  #apply({ drafts, changed, touched, isQuiet, revision }: Listing): number {
    const { index } = this.#options;
    const { pool } = index;
    let changes = 0;
    for (const id of index.ids()) {
      if ((pool.flags(id) & SEEN) !== 0) continue;
      const { stem } = pool.at(id);
      if (touched.has(stem) || drafts.get(stem)?.record !== undefined) continue;
      index.remove(stem, revision());
      changes += 1;
    }
    for (const [stem, draft] of drafts) {
      if (draft.record === undefined || touched.has(stem)) continue;
      this.#put(draft, revision(), isQuiet);
      changes += 1;
    }
    for (const [stem, change] of changed) {
      const known = touched.has(stem) || drafts.get(stem)?.record !== undefined ? undefined : index.byStem(stem);
      if (known === undefined) continue;
      index.put(pool.changed(known, { ...change, revision: revision() }));
      changes += 1;
    }
    index.compact();
    return changes;
  }

  /** @returns its number */
  #put({ record, stored }: Draft, revision: number, quiet: boolean): number {
    if (record === undefined) return -1;
    const { index } = this.#options;
    const { stem } = record;
    const taken = index.byName(record.name);
    const isFree = taken === undefined || taken.stem === stem;
    const named = isFree ? record : index.pool.changed(record, { name: nameOfStem(stem) });
    fill(named, { ...stored, revision });
    index.put(named, { quiet });
    return index.idOfStem(stem);
  }
}

function storedOf(bundle: ObjectInfo): Required<Stored> {
  return { bundleBytes: bundle.sizeBytes, storedAt: Math.round(bundle.modifiedAt) };
}
