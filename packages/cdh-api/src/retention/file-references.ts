import { listDebugFiles, type ListedFile } from "@cdh/core/debug-files/list";
import { factsOfStored } from "@cdh/core/debug-files/put";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { ObjectStore } from "@cdh/core/store/store";
import { isGarbage, readManifestBytes } from "../index/store-reader.ts";
import { parseInThread } from "../manifests/thread.ts";
import type { StoredBundle } from "./stored-bundle.ts";

const READS_AT_ONCE = 16;
const EXAMPLES_MAX = 5;

/** What the bundles of a store need. */
export interface References {
  /** Tell whether some bundle needs a build-id. Of two with one hash both are kept. */
  needs(buildId: string): boolean;
  /** Bundles that do not say which files they need; a few of them with the reason. */
  silent: { count: number; examples: string[] };
}

/** A file that nothing has referred to for long enough. */
export interface DueFile {
  key: string;
  buildId: string;
  /** When a node relied on it last, as far as that was listed; epoch milliseconds. */
  askedAt: number | undefined;
  sizeBytes: number;
  /** Epoch milliseconds. */
  storedAt: number;
  unreferredSince: number;
}

interface Known {
  stamp: string;
  /** Hashes of its build-ids; undefined: it says nothing. */
  ids: Uint32Array | undefined;
}

/**
 * Know which files the bundles of a store need: each manifest is read once, and again when it changed. Of a bundle four bytes for each
 * module are kept: a crashed process chooses how many it has, and what they are called.
 */
export class FileReferences {
  readonly #store: ObjectStore;
  #known = new Map<string, Known>();
  /** Debug info that is shared, by the stamp of the file that needs it. */
  #shared = new Map<string, string | undefined>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Read what the bundles of a whole survey need of some files. Half of them would make the others' files look unneeded: it is all or nothing.
   * @throws {CdhError} CDH_STORE…; the signal's reason
   */
  async read(bundles: readonly StoredBundle[], files: readonly ListedFile[], signal: AbortSignal): Promise<References> {
    const asked = new Set(files.map(({ id }) => hashOf(id.buildId)));
    const before = this.#known;
    const known = new Map<string, Known>();
    this.#known = known;
    const used = new Set<number>();
    const silent: References["silent"] = { count: 0, examples: [] };
    const next = bundles.values();
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    const reader = async (): Promise<void> => {
      for (const bundle of next) {
        either.throwIfAborted();
        const { stem } = bundle;
        const one = await this.#readOne(bundle, before.get(stem), either);
        if (typeof one !== "string") known.set(stem, one);
        for (const id of typeof one === "string" ? [] : (one.ids ?? [])) if (asked.has(id)) used.add(id);
        if (typeof one !== "string" && one.ids !== undefined) continue;
        silent.count += 1;
        if (silent.examples.length < EXAMPLES_MAX)
          silent.examples.push(`${stem}: ${typeof one === "string" ? one : "it lists no modules"}`);
      }
    };
    await Promise.all(
      Array.from({ length: READS_AT_ONCE }, () => reader().catch((error: unknown) => failure.abort(error))),
    );
    either.throwIfAborted();
    return { needs: (buildId) => used.has(hashOf(buildId)), silent };
  }

  /** @returns why it says nothing, where that may change without its manifest */
  async #readOne(
    { stem, manifest }: StoredBundle,
    before: Known | undefined,
    signal: AbortSignal,
  ): Promise<Known | string> {
    const stamp = manifest === undefined ? "" : `${manifest.sizeBytes}-${manifest.modifiedAt}`;
    if (manifest !== undefined && before?.stamp === stamp) return before;
    try {
      const bytes = await readManifestBytes(this.#store, stem, signal);
      // The listing may have seen an upload between its two objects.
      if (bytes === undefined) return "it has no manifest";
      const ids = await parseInThread("buildIds", bytes, stem);
      return { stamp, ids: ids && Uint32Array.from(ids, hashOf) };
    } catch (error) {
      if (isGarbage(error)) return reasonOf(error);
      throw error;
    }
  }

  /** Bytes that are kept of all bundles. */
  get heldBytes(): number {
    let bytes = 0;
    for (const { ids } of this.#known.values()) bytes += ids?.byteLength ?? 0;
    return bytes;
  }

  /**
   * Find the files that nothing refers to: no bundle, and no debug info that some bundle needs.
   * @throws {CdhError} CDH_STORE…
   */
  async unreferred(files: readonly ListedFile[], { needs }: References, signal: AbortSignal): Promise<ListedFile[]> {
    const sharedIds = new Set<string>();
    const before = this.#shared;
    this.#shared = new Map();
    for (const { id, info } of files) {
      if (id.role !== "debuginfo" || !needs(id.buildId)) continue;
      const stamp = `${info.key} ${info.sizeBytes} ${info.modifiedAt}`;
      let shared = before.get(stamp);
      if (!before.has(stamp)) {
        const shown = await this.#store.head(info.key, signal);
        if (shown === undefined) throw new CdhError("CDH_STORE", `${info.key} went away while it was looked at`);
        shared = factsOfStored(shown).sharedBuildId;
      }
      this.#shared.set(stamp, shared);
      if (shared !== undefined) sharedIds.add(shared);
    }
    return files.filter(({ id }) => !needs(id.buildId) && !sharedIds.has(id.buildId));
  }
}

/** List all files of programs. @throws {CdhError} CDH_STORE… */
export async function listFiles(store: ObjectStore, signal: AbortSignal): Promise<ListedFile[]> {
  const files: ListedFile[] = [];
  for await (const file of listDebugFiles(store, { signal })) files.push(file);
  return files;
}

/** FNV-1a, 32 bits: whoever makes two build-ids with one hash keeps a file longer. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
