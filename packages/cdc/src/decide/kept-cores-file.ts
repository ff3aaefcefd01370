import { readBounded } from "@cdh/core/container/bounded-file";
import { errnoOf } from "@cdh/core/errors";
import { writeAtomically } from "@cdh/core/files/write-atomically";
import { tryParseJson } from "@cdh/core/json";
import { FILE_MODE } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";
import type { KeptCore } from "./kept-cores.ts";
import { underLock } from "./locked-state.ts";

/** What is remembered of one place in a program of one owner. */
export interface PlaceEntry {
  /** Whose it is, hashed: each has room of its own. */
  owner: string;
  /** Workload and container, hashed. */
  workload: string;
  /** For people. */
  of: string;
  /** When it matters no more, epoch milliseconds. */
  until: number;
  cores: KeptCore[];
  /** As the manifest of its last crash says. */
  site?: string;
  signature?: string;
  /** Where on the stacks its real calls stand, as stack and distance, and what stands there, hashed. */
  spots?: [number, number][];
  frames?: string;
}

/** Places that are remembered of one owner, of all, and how long the file may be. Whoever makes more forgets its own oldest ones. */
const OWNER_PLACES_MAX = 64;
const PLACES_MAX = 1024;
const BYTES_MAX = 1024 * 1024;
/** Characters of a text in it; a file with a longer one counts as damaged. */
export const TEXT_MAX = 600;
const CORES_MAX = 256;
/** Calls of one place that are remembered. */
export const SPOTS_MAX = 64;

/** Where the file lies, and who changes it. */
export interface PlacesFile {
  coreDir: string;
  native: Native;
  nowMs: number;
  /** How long other composers are waited for; default half a second. */
  waitMs?: number;
}

/** What was read: a damaged file is an empty one, and whoever reads it must say so. */
export interface ReadPlaces {
  places: Map<string, PlaceEntry>;
  isDamaged: boolean;
}

/**
 * Change what is remembered of one place. One small file for all of the node's composers, replaced by rename.
 * @param choose finds the place among those that are remembered
 * @param change gets its entry, undefined for a new one; what it gives back is remembered
 * @throws {PlacesBusy} when other composers hold it for too long; the system's errors
 */
export async function changePlace<T>(
  { nowMs, ...where }: PlacesFile,
  choose: (places: ReadonlyMap<string, PlaceEntry>) => string,
  change: (
    entry: PlaceEntry | undefined,
    key: string,
    isDamaged: boolean,
  ) => { entry: PlaceEntry | undefined; result: T },
): Promise<T> {
  return await underLock({ ...where, name: "kept-cores.json" }, async (path, isLocked) => {
    if (!isLocked) throw new PlacesBusy();
    const { places, isDamaged } = await readPlaces(path);
    const key = choose(places);
    const before = places.get(key);
    const { entry, result } = change(before, key, isDamaged);
    // What was used last stands last.
    places.delete(key);
    if (entry !== undefined) places.set(key, entry);
    // Who remembers nothing must not mend a damaged file in silence.
    if (entry !== before) await writePlaces(path, places, nowMs);
    return result;
  });
}

/** Other composers hold the file. */
export class PlacesBusy extends Error {
  constructor() {
    super("other composers were at it all the time");
  }
}

async function readPlaces(path: string): Promise<ReadPlaces> {
  const places = new Map<string, PlaceEntry>();
  try {
    const { bytes, cut } = await readBounded(path, BYTES_MAX);
    const parsed: unknown = cut ? undefined : tryParseJson(bytes);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return { places, isDamaged: true };
    const pairs = Object.entries(parsed);
    for (const [key, value] of pairs) if (/^[\da-f]{32}$/.test(key) && isEntry(value)) places.set(key, value);
    return { places, isDamaged: places.size < pairs.length };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { places, isDamaged: false };
    throw error;
  }
}

async function writePlaces(path: string, places: ReadonlyMap<string, PlaceEntry>, nowMs: number): Promise<void> {
  let rest = withinOwners([...places].filter(([, { until }]) => until > nowMs)).slice(-PLACES_MAX);
  let text = JSON.stringify(Object.fromEntries(rest));
  while (Buffer.byteLength(text) > BYTES_MAX && rest.length > 1) {
    rest = withoutLargest(rest);
    text = JSON.stringify(Object.fromEntries(rest));
  }
  // One name for all: what a composer that was killed left is taken away by the next. What is lost with the power is taken anew.
  await writeAtomically(path, text, { mode: FILE_MODE, partial: `${path}.tmp`, flush: "nothing" });
}

/** Forget the older half of whoever has most: nobody else's. */
function withoutLargest(all: readonly [string, PlaceEntry][]): [string, PlaceEntry][] {
  const bytes = new Map<string, number>();
  for (const [, entry] of all) bytes.set(entry.owner, (bytes.get(entry.owner) ?? 0) + JSON.stringify(entry).length);
  const [largest] = [...bytes].toSorted(([, left], [, right]) => right - left)[0] ?? [];
  const its = all.filter(([, { owner }]) => owner === largest);
  const forgotten = new Set(its.slice(0, Math.ceil(its.length / 2)).map(([key]) => key));
  return all.filter(([key]) => !forgotten.has(key));
}

/** Keep the newest places of each owner. */
function withinOwners(all: readonly [string, PlaceEntry][]): [string, PlaceEntry][] {
  const counts = new Map<string, number>();
  return all
    .toReversed()
    .filter(([, { owner }]) => {
      const count = (counts.get(owner) ?? 0) + 1;
      counts.set(owner, count);
      return count <= OWNER_PLACES_MAX;
    })
    .toReversed();
}

function isEntry(value: unknown): value is PlaceEntry {
  if (typeof value !== "object" || value === null) return false;
  const { owner, workload, of, until, cores, site, signature, spots, frames } = value as Record<string, unknown>;
  return (
    [owner, workload, of].every(isText) &&
    [site, signature, frames].every((text) => text === undefined || isText(text)) &&
    isTime(until) &&
    (spots === undefined || (Array.isArray(spots) && spots.length <= SPOTS_MAX && spots.every(isSpot))) &&
    Array.isArray(cores) &&
    cores.length <= CORES_MAX &&
    cores.every(isCore)
  );
}

function isCore(value: unknown): value is KeptCore {
  if (typeof value !== "object" || value === null) return false;
  const { crashId, at, bundle } = value as Record<string, unknown>;
  return isText(crashId) && isTime(at) && (bundle === undefined || isText(bundle));
}

function isSpot(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every((number) => Number.isSafeInteger(number));
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_MAX;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && Math.abs(value) < 8.64e15;
}
