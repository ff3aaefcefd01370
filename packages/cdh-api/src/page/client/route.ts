import { EVERYTHING, type Filter } from "./filter.ts";

/** What the address asks for: the list as filtered, or one crash. */
export type Route = { view: "list"; filter: Filter } | { view: "crash"; namespace: string; name: string };

/** Read the address's part after `#`. What cannot be read is the whole list. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [namespace, name] = path.split("/").map(decode);
  if (namespace && name) return { view: "crash", namespace, name };
  const given = new URLSearchParams(query);
  const filter = Object.fromEntries(
    Object.keys(EVERYTHING).map((key) => [key, given.get(key) ?? ""]),
  ) as unknown as Filter;
  return { view: "list", filter };
}

/** Write the address of a filtered list. */
export function listHash(filter: Filter): string {
  const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value !== "")).toString();
  return query === "" ? "#/" : `#/?${query}`;
}

/** Write the address of a crash. */
export function crashHash({ namespace, name }: { namespace: string; name: string }): string {
  return `#/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
