import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { PlacementRules } from "../index/placement.ts";
import { isGarbage, readStoredHead } from "../index/store-reader.ts";
import { factsOf, tryParseKey, type ManifestFacts, type StoredBundle, type StoredObject } from "./stored-bundle.ts";

const READS_AT_ONCE = 16;

interface Known {
  sizeBytes: number;
  modifiedAt: number;
  facts: ManifestFacts | "garbage";
}

/** Give what somebody else knows of a manifest in the very state that a listing shows; undefined: it has to be read. */
export type FactsLookup = (stem: string, manifest: ObjectInfo) => ManifestFacts | undefined;

/**
 * Look at the whole store: one listing, and each manifest once. What was read is remembered by size and date, so the
 * next look costs a listing.
 */
export class Surveyor {
  readonly #store: ObjectStore;
  readonly #rules: PlacementRules;
  readonly #lookUp: FactsLookup;
  #known = new Map<string, Known>();

  constructor(store: ObjectStore, rules: PlacementRules, lookUp: FactsLookup = () => undefined) {
    this.#store = store;
    this.#rules = rules;
    this.#lookUp = lookUp;
  }

  /**
   * List what lies in the store, with the facts of each manifest. All or nothing: half a listing would make the rest
   * look like less than there is.
   * @throws {CdhError} CDH_STORE…
   */
  async survey(signal: AbortSignal): Promise<StoredBundle[]> {
    const bundles = new Map<string, StoredBundle>();
    for await (const object of this.#store.list("", { signal })) {
      const parsed = tryParseKey(object.key);
      if (parsed === undefined) continue;
      const { stem, role } = parsed;
      const { sizeBytes, modifiedAt } = object;
      let bundle = bundles.get(stem);
      if (bundle === undefined) bundles.set(stem, (bundle = { stem, isKept: false }));
      if (role === "keep") bundle.isKept = true;
      else bundle[role] = { sizeBytes, modifiedAt };
      if (role !== "manifest") continue;
      const facts = this.#lookUp(stem, object);
      if (facts !== undefined) bundle.facts = facts;
    }
    await this.#readFacts(bundles, signal);
    // A protection without anything to protect is no bundle.
    return [...bundles.values()].filter(({ bundle, manifest }) => bundle !== undefined || manifest !== undefined);
  }

  async #readFacts(bundles: ReadonlyMap<string, StoredBundle>, signal: AbortSignal): Promise<void> {
    const before = this.#known;
    const known = new Map<string, Known>();
    // What was read stays known, so that a store with hiccups is read to its end in a few looks.
    this.#known = known;
    const unread: { bundle: StoredBundle; manifest: StoredObject }[] = [];
    for (const bundle of bundles.values()) {
      const { stem, manifest } = bundle;
      if (manifest === undefined || bundle.facts !== undefined) continue;
      const one = before.get(stem);
      if (one?.sizeBytes === manifest.sizeBytes && one.modifiedAt === manifest.modifiedAt) {
        known.set(stem, one);
        bundle.facts = one.facts;
      } else unread.push({ bundle, manifest });
    }
    // A store in trouble is not asked a hundred thousand times more.
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    const next = unread.values();
    const reader = async (): Promise<void> => {
      for (const { bundle, manifest } of next) {
        either.throwIfAborted();
        const facts = await this.#read(bundle.stem, either);
        if (facts === undefined) {
          // Somebody deleted it since it was listed.
          delete bundle.manifest;
          continue;
        }
        known.set(bundle.stem, { ...manifest, facts });
        bundle.facts = facts;
      }
    };
    const readers = Array.from({ length: READS_AT_ONCE }, () =>
      reader().catch((error: unknown) => failure.abort(error)),
    );
    await Promise.all(readers);
    either.throwIfAborted();
  }

  async #read(stem: string, signal: AbortSignal): Promise<ManifestFacts | "garbage" | undefined> {
    try {
      const manifest = await readStoredHead(this.#store, stem, signal);
      if (manifest === undefined) return undefined;
      const facts = factsOf(manifest, this.#rules);
      return { ...facts, namespace: intern(facts.namespace), cluster: intern(facts.cluster) };
    } catch (error) {
      if (isGarbage(error)) return "garbage";
      throw error;
    }
  }
}

/** A hundred thousand bundles have few namespaces; each text is kept once. */
const texts = new Map<string, string>();

function intern(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size < 10_000) texts.set(text, text);
  return text;
}
