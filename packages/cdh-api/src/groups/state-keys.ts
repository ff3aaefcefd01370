import type { ObjectStore } from "@cdh/core/store/store";

/** Where it is kept what people say about groups. No namespace begins with an underscore. */
export const GROUP_FOLDER = "_groups/";
/** Groups of one namespace about which something is said: more than anybody writes by hand. */
export const STATES_MAX = 2000;
/** Keys that a look goes through: all of ours are a few for each group. */
const LISTED_MAX = 200_000;
const KEY = /^_groups\/([a-z0-9][-a-z0-9]{0,62})\/(bug-[\da-f]{10})\/(\d{8})\.json$/;

/** What the key of a state says. */
export interface StateKey {
  namespace: string;
  id: string;
  sequence: number;
}

/** Read the key of a state; undefined when it is none. */
export function parseStateKey(key: string): StateKey | undefined {
  const [, namespace, id, sequence] = KEY.exec(key) ?? [];
  if (namespace === undefined || id === undefined || sequence === undefined) return undefined;
  return { namespace, id, sequence: Number(sequence) };
}

/** Name the folder of all states of a group, or of a namespace. */
export function stateFolder(namespace: string, id?: string): string {
  return `${GROUP_FOLDER}${namespace}/${id === undefined ? "" : `${id}/`}`;
}

/** Keys of the states of a group, in order. @throws {CdhError} the CDH_STORE family */
export async function statesOf(store: ObjectStore, namespace: string, id: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(stateFolder(namespace, id))) {
    if (parseStateKey(key) === undefined) continue;
    keys.push(key);
    if (keys.length >= STATES_MAX) break;
  }
  return keys;
}

/** The newest state of each group. */
export interface NewestStates {
  /** Keys, by namespace and id with a slash between them. */
  keys: Map<string, string>;
  /** Groups of a namespace beyond {@link STATES_MAX}, by namespace. */
  leftOut: Map<string, number>;
  /** The listing was ended before its end: of namespaces after this one nothing is known. */
  endedAt: string | undefined;
}

/**
 * Find the newest state of each group below a folder. Of a namespace with more than there may be, the first ones in the order of
 * their ids are taken: nobody's take another's place.
 * @throws {CdhError} the CDH_STORE family
 */
export async function newestStates(
  store: ObjectStore,
  folder: string,
  signal?: AbortSignal,
  listedMax = LISTED_MAX,
): Promise<NewestStates> {
  const found: NewestStates = { keys: new Map(), leftOut: new Map(), endedAt: undefined };
  const counts = new Map<string, number>();
  let [listed, before] = [0, ""];
  // In the order of keys the newest of a group comes last.
  for await (const { key } of store.list(folder, signal === undefined ? {} : { signal })) {
    const parsed = parseStateKey(key);
    listed += 1;
    if (listed > listedMax) {
      found.endedAt = parsed?.namespace ?? key.slice(0, 100);
      break;
    }
    if (parsed === undefined) continue;
    const { namespace, id } = parsed;
    const place = `${namespace}/${id}`;
    const count = counts.get(namespace) ?? 0;
    const isNew = place !== before;
    before = place;
    if (!isNew) {
      if (found.keys.has(place)) found.keys.set(place, key);
    } else if (count < STATES_MAX) {
      counts.set(namespace, count + 1);
      found.keys.set(place, key);
    } else found.leftOut.set(namespace, (found.leftOut.get(namespace) ?? 0) + 1);
  }
  return found;
}
