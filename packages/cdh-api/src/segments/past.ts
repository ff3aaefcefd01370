import { hash } from "node:crypto";
import { isRecord } from "@cdh/core/base/records";
import type { DumpRecord } from "../index/dump-record.ts";
import { crashesOf, isCountedOnly, type PastCrashes } from "../index/past-crashes.ts";
import { TIME_MAX_MS } from "./block-codec.ts";
import { NoSegment, PAST_LIMITS, readJson } from "./segment.ts";

/** As many bugs as the API groups; those that were seen last longest ago go first. */
const BUGS_MAX = 20_000;
const TEXT_MAX = 8192;

/** Count crashes whose dumps are gone, by bug. */
export class Past {
  readonly #bugs = new Map<string, PastCrashes>();

  get size(): number {
    return this.#bugs.size;
  }

  /** Count a dump that is gone. */
  add(record: DumpRecord): void {
    const { crashedAt, imageRef } = record;
    this.merge({
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
      first: crashedAt,
      last: crashedAt,
      firstImage: imageRef,
      lastImage: imageRef,
      ownerName: record.ownerName,
      summary: record.summary,
    });
  }

  /** Count what was counted elsewhere. */
  merge(more: PastCrashes): void {
    const key = keyOf(more);
    const known = this.#bugs.get(key);
    if (known === undefined) this.#bugs.set(key, more);
    else this.#bugs.set(key, sumOf(known, more));
    if (this.#bugs.size > BUGS_MAX) this.#forgetOldest();
  }

  values(): IterableIterator<PastCrashes> {
    return this.#bugs.values();
  }

  #forgetOldest(): void {
    const oldest = [...this.#bugs].toSorted(([, a], [, b]) => a.last - b.last).slice(0, BUGS_MAX / 10);
    for (const [key] of oldest) this.#bugs.delete(key);
  }
}

function sumOf(one: PastCrashes, other: PastCrashes): PastCrashes {
  const [older, newer] = one.first <= other.first ? [one, other] : [other, one];
  const last = one.last >= other.last ? one : other;
  return {
    ...last,
    count: one.count + other.count,
    wholeCores: one.wholeCores + other.wholeCores,
    countedOnly: one.countedOnly + other.countedOnly,
    first: older.first,
    firstImage: older.firstImage ?? newer.firstImage,
  };
}

/** Where names are known, the place in one build does not count. */
function keyOf({ podNamespace, identityVerified, restricted, signature, site, exe, signalName }: PastCrashes): string {
  const bug =
    signature !== undefined ? ["signature", signature] : site !== undefined ? ["site", site] : [exe, signalName];
  return JSON.stringify([podNamespace, identityVerified, restricted, ...bug]);
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

/** Times that can be written as one, and whole numbers from 0. */
function isNumberOf(name: (typeof NUMBER_FIELDS)[number], value: unknown): boolean {
  if (typeof value !== "number") return false;
  return name === "first" || name === "last"
    ? Math.abs(value) <= TIME_MAX_MS
    : Number.isSafeInteger(value) && value >= 0;
}

function tryReadPast(value: unknown): PastCrashes | undefined {
  if (!isRecord(value)) return undefined;
  const { identityVerified, restricted, signalName, summary } = value;
  const isText = (text: unknown): boolean => typeof text === "string" && text.length <= TEXT_MAX;
  if (!isText(signalName) || !isText(summary) || typeof restricted !== "boolean") return undefined;
  if (identityVerified !== undefined && typeof identityVerified !== "boolean") return undefined;
  if (!TEXT_FIELDS.every((name) => value[name] === undefined || isText(value[name]))) return undefined;
  if (!NUMBER_FIELDS.every((name) => isNumberOf(name, value[name]))) return undefined;
  const names = [...TEXT_FIELDS, ...NUMBER_FIELDS, "identityVerified", "restricted", "signalName", "summary"];
  return Object.fromEntries(names.map((name) => [name, value[name]])) as unknown as PastCrashes;
}
