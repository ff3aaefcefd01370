import { hash } from "node:crypto";
import { cutText } from "@cdh/core/base/cut-text";
import { isRecord } from "@cdh/core/base/records";
import type { DumpRecord } from "../index/dump-record.ts";
import { crashesOf, firstOf, isCountedOnly, type PastCrashes, TIME_MAX_MS } from "../index/past-crashes.ts";
import { NoSegment, PAST_LIMITS, readJson } from "./segment.ts";

/** As many as the API has groups. */
const BUGS_MAX = 20_000;
/** Of all together, as JSON: one segment tells of as many. */
const BYTES_MAX = 16 * 1024 * 1024;
const TEXT_MAX = 8192;
/** Bytes of images and workloads. */
const SHOWN_BYTES = 512;

/** Crashes of one place. */
interface Part {
  readonly bugs: Map<string, { crashes: PastCrashes; bytes: number }>;
  bytes: number;
}

/** How much is held at most. */
export interface PastLimits {
  bugs: number;
  /** As JSON. */
  bytes: number;
}

/**
 * Count crashes whose dumps are gone, by bug. Where they are too many, whoever has most gives up those that were seen last longest
 * ago: nobody takes what is known of another's crashes.
 */
export class Past {
  readonly #parts = new Map<string, Part>();
  readonly #partOf: (crashes: PastCrashes) => string;
  readonly #limits: PastLimits;
  #size = 0;
  #bytes = 0;

  /** @param partOf names the part that crashes belong to; their pod's namespace when not said */
  constructor(partOf = ownerOf, limits: PastLimits = { bugs: BUGS_MAX, bytes: BYTES_MAX }) {
    this.#partOf = partOf;
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** Count a dump that is gone. */
  add(record: DumpRecord): void {
    this.merge(pastOf(record));
  }

  /** Take back what was counted once: its dump is there again. */
  takeBack(crashes: PastCrashes): void {
    const name = this.#partOf(crashes);
    const part = this.#parts.get(name);
    const key = keyOf(crashes);
    const known = part?.bugs.get(key);
    if (part === undefined || known === undefined) return;
    const left = known.crashes.count - crashes.count;
    if (left <= 0) return this.#drop(name, part, key);
    known.crashes = {
      ...known.crashes,
      count: left,
      wholeCores: Math.max(0, known.crashes.wholeCores - crashes.wholeCores),
      countedOnly: Math.max(0, known.crashes.countedOnly - crashes.countedOnly),
    };
  }

  /** Count what was counted elsewhere. */
  merge(more: PastCrashes): void {
    const name = this.#partOf(more);
    const part = this.#parts.get(name) ?? { bugs: new Map(), bytes: 0 };
    this.#parts.set(name, part);
    const key = keyOf(more);
    const known = part.bugs.get(key);
    const crashes = known === undefined ? more : sumOf(known.crashes, more);
    const bytes = Buffer.byteLength(JSON.stringify(crashes));
    part.bugs.set(key, { crashes, bytes });
    if (known === undefined) this.#size += 1;
    this.#grow(part, bytes - (known?.bytes ?? 0));
    while (this.#size > this.#limits.bugs || this.#bytes > this.#limits.bytes) this.#forgetOldest();
  }

  *values(): Generator<PastCrashes, undefined> {
    for (const part of this.#parts.keys()) yield* this.of(part);
    return undefined;
  }

  /** What is known of one part. */
  *of(part: string): Generator<PastCrashes, undefined> {
    for (const { crashes } of this.#parts.get(part)?.bugs.values() ?? []) yield crashes;
    return undefined;
  }

  #grow(part: Part, bytes: number): void {
    part.bytes += bytes;
    this.#bytes += bytes;
  }

  #forgetOldest(): void {
    const isFull = this.#bytes > this.#limits.bytes;
    const weightOf = ({ bugs, bytes }: Part): number => (isFull ? bytes : bugs.size);
    let [most = "", part]: [string?, Part?] = [];
    for (const [name, other] of this.#parts)
      if (part === undefined || weightOf(other) > weightOf(part)) [most, part] = [name, other];
    if (part === undefined) return;
    const oldest = [...part.bugs].toSorted(([, a], [, b]) => a.crashes.last - b.crashes.last);
    for (const [key] of oldest.slice(0, Math.ceil(oldest.length / 10))) this.#drop(most, part, key);
  }

  #drop(name: string, part: Part, key: string): void {
    this.#grow(part, -(part.bugs.get(key)?.bytes ?? 0));
    part.bugs.delete(key);
    this.#size -= 1;
    if (part.bugs.size === 0) this.#parts.delete(name);
  }
}

/** What is kept of a crash whose dump is gone. */
export function pastOf(record: DumpRecord): PastCrashes {
  const { crashedAt } = record;
  const image = cut(record.imageRef);
  return {
    podNamespace: record.podNamespace,
    identityVerified: record.identityVerified,
    restricted: record.restricted,
    signature: record.signature,
    site: record.site,
    exe: record.exe ?? record.comm,
    signalName: record.signalName,
    count: crashesOf(record),
    wholeCores: record.complete ? 1 : 0,
    countedOnly: isCountedOnly(record) ? crashesOf(record) : 0,
    first: firstOf(record),
    last: crashedAt,
    firstImage: image,
    lastImage: image,
    lastImageSince: crashedAt,
    ownerName: cut(record.ownerName),
  };
}

/** Whose crashes they are; what is only claimed takes nobody's part. */
function ownerOf({ podNamespace, identityVerified }: PastCrashes): string {
  return `${identityVerified === true ? "" : "?"}${podNamespace ?? ""}`;
}

function cut(text: string | undefined): string | undefined {
  return text === undefined ? undefined : cutText(text, SHOWN_BYTES);
}

function sumOf(one: PastCrashes, other: PastCrashes): PastCrashes {
  const [older, newer] = one.first <= other.first ? [one, other] : [other, one];
  const [before, last] = one.last >= other.last ? [other, one] : [one, other];
  return {
    ...last,
    count: Math.min(one.count + other.count, Number.MAX_SAFE_INTEGER),
    wholeCores: one.wholeCores + other.wholeCores,
    countedOnly: Math.min(one.countedOnly + other.countedOnly, Number.MAX_SAFE_INTEGER),
    first: older.first,
    firstImage: older.firstImage ?? newer.firstImage,
    lastImageSince: imageSince(last, before),
  };
}

/** When the last image was first seen, of what both tell. */
function imageSince({ last, lastImage, lastImageSince }: PastCrashes, before: PastCrashes): number {
  let since = lastImageSince ?? last;
  if (before.lastImage === lastImage) since = Math.min(since, before.lastImageSince ?? before.last);
  return before.firstImage === lastImage ? Math.min(since, before.first) : since;
}

/** Whatever a group counts by is one: what it says of workloads, programs and signals is as true as before. */
function keyOf(crashes: PastCrashes): string {
  const { podNamespace, identityVerified, restricted, signature, site, exe, signalName, ownerName } = crashes;
  return JSON.stringify([podNamespace, identityVerified, restricted, signature, site, exe, signalName, ownerName]);
}

/** Dumps of segments that are gone, and counted: of each segment by its name the hashes of their keys. */
export type Gone = Map<string, Set<string>>;

/** Make of a key what stands for it among those that are gone. */
export function goneHash(stem: string): string {
  return hash("sha256", stem, "hex").slice(0, 16);
}

/** Take in what a newer segment tells of older ones. */
export function addGone(gone: Gone, more: Gone): void {
  for (const [name, hashes] of more) {
    const known = gone.get(name);
    if (known === undefined) gone.set(name, hashes);
    else for (const one of hashes) known.add(one);
  }
}

/** What a segment tells of dumps that are gone. */
export interface PastPart {
  past: Iterable<PastCrashes>;
  gone: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Hashes that a segment tells of. */
export const GONE_HASHES_MAX = 150_000;

/** Write it. Of more that is gone than one segment tells, the rest may be counted twice: it is not left out. */
export function encodePast({ past, gone }: PastPart): Buffer {
  let left = GONE_HASHES_MAX;
  const lists = [...gone].map(([name, hashes]) => {
    const told = [...hashes].slice(0, left);
    left -= told.length;
    return [name, told];
  });
  return Buffer.from(JSON.stringify({ past: [...past], gone: lists }));
}

/** Read what {@link encodePast} wrote. @throws {NoSegment} */
export async function decodePast(json: Buffer): Promise<{ past: PastCrashes[]; gone: Gone }> {
  const value = await readJson(json, PAST_LIMITS);
  const { past, gone } = isRecord(value) ? value : {};
  if (!Array.isArray(past) || !Array.isArray(gone)) throw new NoSegment("what it tells of the past is not readable");
  const read: Gone = new Map();
  for (const entry of gone as unknown[]) {
    const [name, hashes] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof name !== "string" || !Array.isArray(hashes)) continue;
    read.set(name, new Set(hashes.filter((one): one is string => typeof one === "string" && one.length === 16)));
  }
  return { past: past.flatMap((one: unknown) => tryReadPast(one) ?? []), gone: read };
}

const TEXT_FIELDS = ["podNamespace", "signature", "site", "exe", "firstImage", "lastImage", "ownerName"] as const;
const NUMBER_FIELDS = ["count", "wholeCores", "countedOnly", "first", "last"] as const;
const OTHER_FIELDS = ["lastImageSince", "identityVerified", "restricted", "signalName"] as const;

/** Times that can be written as one, and whole numbers from 0. */
function isNumberOf(name: (typeof NUMBER_FIELDS)[number], value: unknown): boolean {
  if (typeof value !== "number") return false;
  return name === "first" || name === "last"
    ? Math.abs(value) <= TIME_MAX_MS
    : Number.isSafeInteger(value) && value >= 0;
}

function tryReadPast(value: unknown): PastCrashes | undefined {
  if (!isRecord(value)) return undefined;
  const { identityVerified, restricted, signalName } = value;
  const isText = (text: unknown): boolean => typeof text === "string" && text.length <= TEXT_MAX;
  if (!isText(signalName) || typeof restricted !== "boolean") return undefined;
  if (identityVerified !== undefined && typeof identityVerified !== "boolean") return undefined;
  if (!TEXT_FIELDS.every((name) => value[name] === undefined || isText(value[name]))) return undefined;
  if (!NUMBER_FIELDS.every((name) => isNumberOf(name, value[name]))) return undefined;
  const since = value["lastImageSince"];
  if (since !== undefined && !isNumberOf("last", since)) return undefined;
  const names = [...TEXT_FIELDS, ...NUMBER_FIELDS, ...OTHER_FIELDS];
  return Object.fromEntries(names.map((name) => [name, value[name]])) as unknown as PastCrashes;
}
