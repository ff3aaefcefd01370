import { hash } from "node:crypto";
import { CdhError } from "../base/errors.ts";
import type { ObjectInfo } from "./store.ts";

/** Bounds on a listing, of any store. What one answer may hold is bounded in answers.ts. */
export interface ListingLimits {
  /** Objects below one prefix. */
  objects: number;
  pages: number;
  /** A server may answer with pages of nothing while it looks for the next key, though not for ever. */
  emptyPages: number;
}

/** A hundred times the store that the API is made for. */
export const LISTING_LIMITS: ListingLimits = { objects: 10_000_000, pages: 100_000, emptyPages: 1000 };

/** One page. */
export interface ListingPage {
  objects: readonly ObjectInfo[];
  /** Whether the server sent no object at all, also none that is none of ours. */
  isEmpty: boolean;
  /** Asks for the next page; undefined or empty: this is the last one. */
  next: string | undefined;
}

/**
 * List by pages, and end: a server that repeats its tokens, sends empty pages without end, or ever more objects, is told.
 * @param what for the message: `list team-a in s3://cores`
 * @param fetch asks for the page of a token, of the first one without
 * @throws {CdhError} CDH_STORE when it does not end, and whatever `fetch` throws
 */
export async function* listByPages(
  what: string,
  fetch: (token: string | undefined) => Promise<ListingPage>,
  limits = LISTING_LIMITS,
): AsyncIterable<ObjectInfo> {
  // Hashes: a token may be a kilobyte, and there is one for each page.
  const seen = new Set<string>();
  const count = new ListingCount(what, limits);
  let token: string | undefined;
  let emptyPages = 0;
  for (let pages = 1; ; pages += 1) {
    const page = await fetch(token);
    for (const object of page.objects) {
      count.add();
      yield object;
    }
    token = page.next === "" ? undefined : page.next;
    if (token === undefined) return;
    const known = hash("sha256", token);
    emptyPages = page.isEmpty ? emptyPages + 1 : 0;
    if (seen.has(known) || emptyPages > limits.emptyPages || pages >= limits.pages) throw endless(what);
    seen.add(known);
  }
}

/** Counts the objects of a listing. */
export class ListingCount {
  readonly #what: string;
  readonly #limits: ListingLimits;
  #objects = 0;

  constructor(what: string, limits = LISTING_LIMITS) {
    this.#what = what;
    this.#limits = limits;
  }

  /** @throws {CdhError} CDH_STORE when there are too many */
  add(): void {
    this.#objects += 1;
    if (this.#objects <= this.#limits.objects) return;
    throw new CdhError("CDH_STORE", `cannot ${this.#what}: it holds more than ${this.#limits.objects} objects`, {
      hint: "list a part of it, or move older bundles to another place",
    });
  }
}

function endless(what: string): CdhError {
  return new CdhError("CDH_STORE", `cannot ${what}: the listing goes round and never ends`);
}
