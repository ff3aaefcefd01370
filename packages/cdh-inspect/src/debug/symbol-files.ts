import { once } from "@cdh/core/async/once";
import type { DebugFileId, DebugRole } from "@cdh/core/debug-files/keys";
import { tryParseBuildId } from "@cdh/core/debug-files/keys";
import type { KeptParts, PartsLookup } from "@cdh/core/debug-files/opens-with";
import { CdhError } from "@cdh/core/errors";
import type { CachedFile, SymbolCache } from "./symbol-cache.ts";

/** A file that a place has, not yet fetched. */
export interface OfferedFile {
  label: string;
  /** Another text for another content. */
  version: string;
  /** Write it to a path that is not there yet. @throws {CdhError} */
  write(path: string): Promise<void>;
}

/** Somewhere that knows files by build-id: a store, or a cluster's API. */
export interface SymbolPlace {
  /** Tells it from other places, on other days too. */
  readonly url: string;
  /** Look for a file; undefined when there is none. @throws {CdhError} */
  find(id: DebugFileId): Promise<OfferedFile | undefined>;
  /** Tell what it keeps of a build-id. @throws {CdhError} */
  parts(buildId: string, signal: AbortSignal): Promise<KeptParts>;
}

/** Finds the path of a file by build-id; undefined when nobody has it. */
export interface SymbolFinder {
  find(buildId: string, role: DebugRole): Promise<string | undefined>;
}

/** Ask several places as one: what either of them keeps is there. A place that cannot tell hides nothing that another has. */
export function partsOfAny(places: readonly SymbolPlace[]): PartsLookup {
  return async (buildId, signal) => {
    const answers = await Promise.allSettled(places.map((place) => place.parts(buildId, signal)));
    const told = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    const parts = {
      executable: told.some(({ executable }) => executable),
      debuginfo: told.some(({ debuginfo }) => debuginfo),
    };
    const failed = answers.find((answer) => answer.status === "rejected");
    if (failed !== undefined && !(parts.executable && parts.debuginfo)) throw failed.reason;
    return parts;
  };
}

/** Build-ids of one crash that are asked for at most. */
const ASKED_MAX = 4096;

/**
 * The files that belong to a crash, by build-id, from the first place that has them. What was fetched before counts only as
 * long as its place has the same, and where the place cannot be asked.
 */
export class SymbolFiles implements SymbolFinder {
  readonly #cacheOf: (url: string) => SymbolCache;
  readonly #places: () => Promise<SymbolPlace[]>;
  readonly #warn: (text: string) => void;
  readonly #asked = new Map<string, Promise<CachedFile | undefined>>();
  /** A place that failed is not asked again. */
  readonly #failed = new Set<SymbolPlace>();

  /**
   * @param options.places found when the first file is wanted
   * @param options.cacheOf gives the cache of one place, by its URL
   */
  constructor(options: {
    cacheOf: (url: string) => SymbolCache;
    places: () => Promise<SymbolPlace[]>;
    warn: (text: string) => void;
  }) {
    this.#cacheOf = options.cacheOf;
    this.#places = once(options.places);
    this.#warn = options.warn;
  }

  async find(buildId: string, role: DebugRole): Promise<string | undefined> {
    if (tryParseBuildId(buildId) !== buildId) return undefined;
    const found = await this.#ask({ buildId, role });
    if (found !== undefined || role !== "executable") return found?.path;
    // Where a file has code and debug info it is kept once, as the better of the two.
    const whole = await this.#ask({ buildId, role: "debuginfo" });
    return whole?.contents.hasCode === true ? whole.path : undefined;
  }

  #ask(id: DebugFileId): Promise<CachedFile | undefined> {
    const key = `${id.buildId}/${id.role}`;
    const known = this.#asked.get(key);
    if (known !== undefined) return known;
    if (this.#asked.size >= ASKED_MAX) return Promise.resolve(undefined);
    const asked = this.#look(id);
    this.#asked.set(key, asked);
    return asked;
  }

  async #look(id: DebugFileId): Promise<CachedFile | undefined> {
    for (const place of await this.#places()) {
      const found = await this.#lookIn(place, id);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #lookIn(place: SymbolPlace, id: DebugFileId): Promise<CachedFile | undefined> {
    const cache = this.#cacheOf(place.url);
    if (this.#failed.has(place)) return cache.find(id);
    let isAnswered = false;
    try {
      const offered = await place.find(id);
      isAnswered = true;
      if (offered !== undefined) return (await cache.find(id, offered.version)) ?? (await cache.add(id, offered));
      await cache.remove(id);
      return undefined;
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      this.#warn(`${error.message} (${error.code})`);
      // A damaged file says nothing about the next one; what cannot be reached would be waited for again and again.
      if (!/^CDH_(?:DAMAGED|BUNDLE_)/.test(error.code)) this.#failed.add(place);
      return isAnswered ? undefined : cache.find(id);
    }
  }
}
