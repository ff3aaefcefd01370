/** What a person may call a crash by. */
export interface CrashNames {
  /** The crash's id. */
  name: string;
  /** `N.zip`, or `N`. */
  bundle: string;
  pod: string | undefined;
  workload: string | undefined;
}

/** How a text means a crash, the strongest first: its name; its pod; its workload; a part of one of them. */
export const MEANINGS = ["name", "pod", "workload", "part"] as const;

/** Name one of {@link MEANINGS}. */
export type Meaning = (typeof MEANINGS)[number];

/** Shorter beginnings of an id say nothing. */
const SHORTEST_BEGINNING = 3;
/** Longer texts are no names. */
export const MEANT_MAX_LENGTH = 300;

/**
 * Tell how a text means a crash; undefined when it does not. Of an id only the beginning counts: within, anything that
 * looks like hexadecimal digits stands by chance, a pod's name too.
 */
export function meaningOf(text: string, { name, bundle, pod, workload }: CrashNames): Meaning | undefined {
  const stem = bundle.replace(/\.zip$/, "");
  if (text === name || text === stem || text === bundle) return "name";
  if (text === pod) return "pod";
  if (text === workload) return "workload";
  if (text === "") return undefined;
  const isBeginning = text.length >= SHORTEST_BEGINNING && (name.startsWith(text) || stem.startsWith(text));
  return isBeginning || pod?.includes(text) === true ? "part" : undefined;
}

/** Choose the crashes that a text means in the strongest way in which it means any. They stay in order. */
export function chooseMeant<T>(
  crashes: Iterable<T>,
  text: string,
  namesOf: (crash: T) => CrashNames,
): { meaning: Meaning | undefined; crashes: T[] } {
  let meaning: Meaning | undefined;
  let chosen: T[] = [];
  for (const crash of crashes) {
    const own = meaningOf(text, namesOf(crash));
    if (own === undefined) continue;
    const isStronger = meaning === undefined || MEANINGS.indexOf(own) < MEANINGS.indexOf(meaning);
    if (isStronger) [meaning, chosen] = [own, []];
    if (own === meaning) chosen.push(crash);
  }
  return { meaning, crashes: chosen };
}
