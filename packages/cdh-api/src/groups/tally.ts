import { cutText } from "@cdh/core/base/cut-text";
import type { DumpRecord } from "../index/dump-record.ts";
import { crashesOf, firstOf, isCountedOnly, type PastCrashes } from "../index/past-crashes.ts";

/** What of the crashes of a group is listed. */
export type SeenKind = "signal" | "executable" | "workload" | "image" | "node" | "build";

/** One value that crashes of a group have, how many of them, and when. Times are whole seconds since the epoch. */
export interface Seen {
  readonly kind: SeenKind;
  readonly value: string;
  count: number;
  first: number;
  last: number;
}

/** A crash that stands for others. */
export interface ToldCrash {
  readonly name: string;
  /** Epoch milliseconds. */
  readonly crashedAt: number;
  readonly summary: string;
}

/** Crashes of one day: its number since the epoch, in UTC. */
export interface DayCount {
  day: number;
  count: number;
}

/** Values of one kind that are held; a crash may choose them, and whoever makes new ones all the time fills no memory. */
const SEEN_MAX = 100;
/** Bytes of such a value: a path may have thousands, and a group as JSON megabytes of them. */
const VALUE_BYTES = 256;
/** An image's tag or digest stands at its end. */
const IMAGE_BYTES = 512;
/** Days that are held: a crash chooses no time, but a node's clock may be anything. */
const DAYS_MAX = 400;
const DAY_SECONDS = 86_400;
/** A bug that was not seen for so long, and is seen then, has come back. */
export const QUIET_SECONDS = 7 * DAY_SECONDS;
/** Between the workload and the image of a build: no name of either holds it. */
const BETWEEN = "\n";

/** Take a value of the kind `build` apart. */
export function buildOf(value: string): { workload: string; image: string } {
  const [workload = "", image = ""] = value.split(BETWEEN, 2);
  return { workload, image };
}

/** Count crashes of one bug. Numbers are small integers, which take no memory of their own. */
export class Tally {
  count = 0;
  /** Dumps that are there: a crash may have none any more. */
  dumps = 0;
  /** Of dumps that are there. */
  wholeCores = 0;
  /** Crashes of which only a report was kept, because enough cores of that place are there. */
  countedOnly = 0;
  /** When the last of them was, whole seconds since the epoch; 0 for none. */
  countedOnlyAt = 0;
  /** Whole seconds since the epoch. */
  first = Number.POSITIVE_INFINITY;
  last = Number.NEGATIVE_INFINITY;
  /**
   * When the crashes began that no long silence parts from the last one, and the last one before that silence: minus infinity
   * where there is none, NaN where it is not known.
   */
  #runFrom = Number.NEGATIVE_INFINITY;
  #before = Number.NEGATIVE_INFINITY;
  newest: ToldCrash | undefined;
  newestWhole: ToldCrash | undefined;
  readonly #seen: Seen[] = [];
  /** Day and count, in turn: two numbers take less than an object. */
  readonly #days: number[] = [];

  /** Count a crash. */
  add(record: DumpRecord): void {
    const at = Math.floor(record.crashedAt / 1000);
    const crashes = crashesOf(record);
    this.count += crashes;
    this.dumps += 1;
    const since = Math.floor(firstOf(record) / 1000);
    // Of crashes that were counted the first and the last time are known.
    for (const time of since === at ? [at] : [since, at]) {
      this.#follow(time);
      this.first = Math.min(this.first, time);
      this.last = Math.max(this.last, time);
    }
    if (isNewer(record, this.newest)) this.newest = toldOf(record);
    if (record.complete) {
      this.wholeCores += 1;
      if (isNewer(record, this.newestWhole)) this.newestWhole = toldOf(record);
    }
    if (isCountedOnly(record)) {
      this.countedOnly += crashes;
      this.countedOnlyAt = Math.max(this.countedOnlyAt, at);
    }
    this.#see("signal", record.signalName || undefined, since, crashes, at);
    const workload = cut(record.ownerName);
    const image = cut(record.imageRef, IMAGE_BYTES);
    this.#see("executable", cut(record.exe ?? record.comm), since, crashes, at);
    this.#see("workload", workload, since, crashes, at);
    this.#see("image", image, since, crashes, at);
    this.#see("node", cut(record.nodeName), since, crashes, at);
    if (workload !== undefined && image !== undefined)
      this.#see("build", `${workload}${BETWEEN}${image}`, since, crashes, at);
    this.#countDay(Math.floor(at / DAY_SECONDS), crashes);
  }

  /**
   * Count crashes whose dumps are gone, before those that are later. What each of them had beyond this is not known any more, and
   * a core that is gone is no whole one.
   */
  addPast(past: PastCrashes): void {
    const [first, last] = [Math.floor(past.first / 1000), Math.floor(past.last / 1000)];
    this.count += past.count;
    this.countedOnly += past.countedOnly;
    this.#followPast(first);
    this.first = Math.min(this.first, first);
    this.last = Math.max(this.last, last);
    this.#see("signal", past.signalName || undefined, first, past.count, last);
    this.#see("executable", cut(past.exe), first, past.count, last);
    this.#see("workload", cut(past.ownerName), first, past.count, last);
    this.#see("image", cut(past.firstImage, IMAGE_BYTES), first, 1);
    if (past.count === 1) return;
    // Whoever was seen before a bug was mended is no new image afterwards.
    const since = Math.floor((past.lastImageSince ?? past.last) / 1000);
    this.#see("image", cut(past.lastImage, IMAGE_BYTES), since, 1, last);
  }

  /**
   * Tell when it came back after it had not been seen for {@link QUIET_SECONDS}, and for how long it was quiet; undefined where
   * it never was. Whole seconds.
   */
  get returned(): { at: number; quietSeconds: number } | undefined {
    const quietSeconds = this.#runFrom - this.#before;
    return Number.isFinite(quietSeconds) && quietSeconds >= QUIET_SECONDS
      ? { at: this.#runFrom, quietSeconds }
      : undefined;
  }

  /** Whether crashes came in an order in which {@link returned} cannot be followed: they have to be added anew, the oldest first. */
  get isUnsure(): boolean {
    return Number.isNaN(this.#before);
  }

  /** What was seen of a kind, the first seen first. */
  seen(kind: SeenKind): readonly Readonly<Seen>[] {
    return this.#seen
      .filter((one) => one.kind === kind)
      .sort((a, b) => a.first - b.first || (a.value < b.value ? -1 : 1));
  }

  /** What was seen of an image; undefined where it was not, or is one too many. */
  seenImage(image: string): Readonly<Seen> | undefined {
    const value = cut(image, IMAGE_BYTES);
    return this.#seen.find((one) => one.kind === "image" && one.value === value);
  }

  /** Crashes of each day that has some, in order. */
  days(): DayCount[] {
    const days: DayCount[] = [];
    for (let at = 0; at < this.#days.length; at += 2) {
      days.push({ day: this.#days[at] ?? 0, count: this.#days[at + 1] ?? 0 });
    }
    return days.sort((a, b) => a.day - b.day);
  }

  /** Keep where the last run of crashes began; crashes come in any order. */
  #follow(at: number): void {
    if (this.first === Number.POSITIVE_INFINITY) this.#runFrom = at;
    else if (at >= this.last + QUIET_SECONDS) {
      this.#before = this.last;
      this.#runFrom = at;
    } else if (at > this.#before && at < this.#runFrom) {
      if (this.#runFrom - at >= QUIET_SECONDS) this.#before = at;
      else this.#extendTo(at);
    }
  }

  /** Crashes of which the first and the last time are known: whether it was quiet in between is not, and a silence counts from the last. */
  #followPast(first: number): void {
    if (this.first === Number.POSITIVE_INFINITY) this.#runFrom = first;
    else if (first >= this.last + QUIET_SECONDS) [this.#before, this.#runFrom] = [this.last, first];
    else if (first < this.#runFrom) {
      this.#runFrom = first;
      if (first - this.#before < QUIET_SECONDS) this.#before = Number.NEGATIVE_INFINITY;
    }
  }

  /** The run began earlier; where it meets the crashes before the silence, there was none. */
  #extendTo(at: number): void {
    this.#runFrom = at;
    if (at - this.#before >= QUIET_SECONDS) return;
    this.#runFrom = this.#before;
    this.#before = Number.NaN;
  }

  #see(kind: SeenKind, value: string | undefined, at: number, crashes: number, last = at): void {
    if (value === undefined) return;
    let held = 0;
    for (const one of this.#seen) {
      if (one.kind !== kind) continue;
      held += 1;
      if (one.value !== value) continue;
      one.count += crashes;
      one.first = Math.min(one.first, at);
      one.last = Math.max(one.last, last);
      return;
    }
    if (held < SEEN_MAX) this.#seen.push({ kind, value, count: crashes, first: at, last });
  }

  #countDay(day: number, crashes: number): void {
    // The last day is nearly always the one.
    for (let at = this.#days.length - 2; at >= 0; at -= 2) {
      if (this.#days[at] !== day) continue;
      this.#days[at + 1] = (this.#days[at + 1] ?? 0) + crashes;
      return;
    }
    if (this.#days.length < 2 * DAYS_MAX) this.#days.push(day, crashes);
  }
}

function cut(text: string | undefined, maxBytes = VALUE_BYTES): string | undefined {
  return text === undefined || text.length * 3 <= maxBytes ? text : cutText(text, maxBytes);
}

function isNewer(record: DumpRecord, than: ToldCrash | undefined): boolean {
  if (than === undefined || record.crashedAt !== than.crashedAt)
    return record.crashedAt > (than?.crashedAt ?? -Infinity);
  return record.name > than.name;
}

function toldOf({ name, crashedAt, summary }: DumpRecord): ToldCrash {
  return { name, crashedAt, summary };
}
