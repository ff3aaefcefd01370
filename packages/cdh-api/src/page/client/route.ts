import { ANY_BUG, type BugFilter } from "./bug.ts";
import { EVERYTHING, type Filter } from "./filter.ts";

/** What the address asks for: the bugs, the crashes as filtered, one bug or one crash. */
export type Route =
  | { view: "bugs"; filter: BugFilter }
  | { view: "list"; filter: Filter }
  | { view: "bug"; namespace: string; name: string }
  | { view: "crash"; namespace: string; name: string };

const BUG = /^bug-[\da-f]{10}$/;

/** Read the address's part after `#`. What cannot be read is the list of bugs. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [namespace, name] = path.split("/").map(decode);
  if (namespace && name) return { view: BUG.test(name) ? "bug" : "crash", namespace, name };
  const given = new URLSearchParams(query);
  // The list of crashes had no name once: its addresses still work.
  const isList = path === "crashes" || (path === "" && query !== "");
  return isList
    ? { view: "list", filter: filled(EVERYTHING, given) }
    : { view: "bugs", filter: filled(ANY_BUG, given) };
}

function filled<F extends object>(empty: F, given: URLSearchParams): F {
  return Object.fromEntries(Object.keys(empty).map((key) => [key, given.get(key) ?? ""])) as F;
}

/** Write the address of a filtered list of crashes. */
export function crashesHash(filter: Partial<Filter>): string {
  return written("crashes", filter);
}

/** Write the address of a filtered list of bugs. */
export function bugsHash(filter: Partial<BugFilter>): string {
  const hash = written("bugs", filter);
  return hash === "#/bugs" ? "#/" : hash;
}

function written(path: string, filter: object): string {
  const query = new URLSearchParams(
    Object.entries(filter).filter((entry): entry is [string, string] => entry[1] !== "" && entry[1] !== undefined),
  ).toString();
  return query === "" ? `#/${path}` : `#/${path}?${query}`;
}

/** Write the address of a crash. */
export function crashHash({ namespace, name }: { namespace: string; name: string }): string {
  return `#/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

/** Write the address of a bug. */
export const bugHash: typeof crashHash = crashHash;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
