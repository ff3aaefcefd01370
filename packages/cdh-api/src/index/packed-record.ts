import { commonOf, isSame, type CommonFacts } from "./common-facts.ts";
import type { DumpRecord } from "./dump-record.ts";
import { hashOf } from "./hash-of.ts";
import { packWhere, unpackWhere } from "./packed-where.ts";

/** What crashes of one bug have in common, held once for all of them. */
type CrashKeys = Pick<DumpRecord, "site" | "signature">;

const NO_KEYS: CrashKeys = { site: undefined, signature: undefined };

/** Past so many, facts are simply not shared: nobody fills memory with what occurs once. */
const FACTS_MAX = 20_000;
const TEXTS_MAX = 50_000;
/** So many lines of why and where are known at a time: a crash loop's are the same, others hold an id or an address. */
const SUMMARIES_MAX = 10_000;
/** So many bugs are known at a time. */
const KEYS_MAX = 20_000;
/** Between the texts of one dump: none of them holds it. */
const BETWEEN = "\0";

/** Make records that share what they have in common. */
export class RecordPool {
  readonly #facts = new Map<number, CommonFacts>();
  readonly #texts = new Map<string, string>();
  readonly #summaries = new Map<string, string>();
  readonly #keys = new Map<string, CrashKeys>();

  /** Pack a record. It is then an object of its own, and what `record` was made of can go. */
  pack(record: DumpRecord): DumpRecord {
    const facts = this.#share(commonOf(record, (text) => this.#text(text)));
    return new PackedRecord(record, { facts, keys: this.#keysOf(record), summary: this.#summary(record.summary) });
  }

  #keysOf({ site, signature }: CrashKeys): CrashKeys {
    if (site === undefined && signature === undefined) return NO_KEYS;
    const text = JSON.stringify([site, signature]);
    const known = this.#keys.get(text);
    if (known !== undefined) return known;
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
    const keys = { site, signature };
    this.#keys.set(text, keys);
    return keys;
  }

  /** What occurs once fills this over and over; it is emptied then, and the next crash loop is shared again. */
  #summary(text: string): string {
    const known = this.#summaries.get(text);
    if (known !== undefined) return known;
    if (this.#summaries.size >= SUMMARIES_MAX) this.#summaries.clear();
    this.#summaries.set(text, text);
    return text;
  }

  #text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size < TEXTS_MAX) this.#texts.set(text, text);
    return text;
  }

  #share(facts: CommonFacts): CommonFacts {
    const key = hashOf(Object.values(facts).join(BETWEEN));
    const known = this.#facts.get(key);
    if (known === undefined) {
      if (this.#facts.size < FACTS_MAX) this.#facts.set(key, facts);
      return facts;
    }
    return isSame(known, facts) ? known : facts;
  }
}

/** What may change of a dump while its manifest stays. */
type Changes = Partial<Pick<DumpRecord, "name" | "bundleBytes" | "storedAt" | "keep" | "revision">>;

/** Make the record of a dump that has changed; the one in the index stays what it is. */
export function changedRecord(record: DumpRecord, changes: Changes): DumpRecord {
  if (record instanceof PackedRecord) return record.changed(changes);
  return { ...record, ...changes };
}

/** What a record holds by reference. */
interface SharedParts {
  facts: CommonFacts;
  keys: CrashKeys;
  summary: string;
}

/**
 * A record in a third of the memory of a plain object with forty properties: what is common is a reference, and the texts
 * that only this dump has are one text.
 */
class PackedRecord implements DumpRecord {
  readonly stem: string;
  readonly name: string;
  readonly bundleBytes: number | undefined;
  readonly storedAt: number;
  readonly keep: boolean;
  readonly revision: number;
  readonly crashedAt: number;
  readonly pid: number | undefined;
  readonly coreBytes: number;
  readonly coreStoredBytes: number;
  readonly expectedBytes: number | undefined;
  readonly summary: string;
  /** Stamp, pod's name, its UID, address of the fault, where. */
  readonly #texts: string;
  readonly #facts: CommonFacts;
  readonly #keys: CrashKeys;

  constructor(from: DumpRecord, { facts, keys, summary }: SharedParts, texts?: string) {
    this.stem = from.stem;
    this.name = from.name;
    this.bundleBytes = from.bundleBytes;
    this.storedAt = from.storedAt;
    this.keep = from.keep;
    this.revision = from.revision;
    this.crashedAt = from.crashedAt;
    this.pid = from.pid;
    this.coreBytes = from.coreBytes;
    this.coreStoredBytes = from.coreStoredBytes;
    this.expectedBytes = from.expectedBytes;
    this.summary = summary;
    this.#facts = facts;
    this.#keys = keys;
    this.#texts = texts ?? textsOf(from);
  }

  changed(changes: Changes): PackedRecord {
    const { stem, name, bundleBytes, storedAt, keep, revision } = this;
    const { crashedAt, pid, coreBytes, coreStoredBytes, expectedBytes } = this;
    const own = { stem, name, bundleBytes, storedAt, keep, revision };
    const fixed = { crashedAt, pid, coreBytes, coreStoredBytes, expectedBytes };
    const shared = { facts: this.#facts, keys: this.#keys, summary: this.summary };
    return new PackedRecord({ ...own, ...fixed, ...changes } as DumpRecord, shared, this.#texts);
  }

  get manifestStamp(): string {
    return this.#text(0) ?? "";
  }
  get podName(): string | undefined {
    return this.#text(1);
  }
  get podUid(): string | undefined {
    return this.#text(2);
  }
  get faultAddress(): string | undefined {
    return this.#text(3);
  }
  get namespace(): string {
    return this.#facts.namespace;
  }
  get uid(): number | undefined {
    return this.#facts.uid;
  }
  get comm(): string | undefined {
    return this.#facts.comm;
  }
  get exe(): string | undefined {
    return this.#facts.exe;
  }
  get signalNumber(): number {
    return this.#facts.signalNumber;
  }
  get signalName(): string {
    return this.#facts.signalName;
  }
  get codeName(): string | undefined {
    return this.#facts.codeName;
  }
  get containerName(): string | undefined {
    return this.#facts.containerName;
  }
  get imageRef(): string | undefined {
    return this.#facts.imageRef;
  }
  get restartCount(): number | undefined {
    return this.#facts.restartCount;
  }
  get podNamespace(): string | undefined {
    return this.#facts.podNamespace;
  }
  get ownerKind(): string | undefined {
    return this.#facts.ownerKind;
  }
  get ownerName(): string | undefined {
    return this.#facts.ownerName;
  }
  get nodeName(): string | undefined {
    return this.#facts.nodeName;
  }
  get clusterName(): string | undefined {
    return this.#facts.clusterName;
  }
  get architecture(): string | undefined {
    return this.#facts.architecture;
  }
  get compression(): string {
    return this.#facts.compression;
  }
  get complete(): boolean {
    return this.#facts.complete;
  }
  get truncatedBy(): string | undefined {
    return this.#facts.truncatedBy;
  }
  get identitySource(): string | undefined {
    return this.#facts.identitySource;
  }
  get identityVerified(): boolean | undefined {
    return this.#facts.identityVerified;
  }
  get restricted(): boolean {
    return this.#facts.restricted;
  }
  get suppressedCount(): number | undefined {
    return this.#facts.suppressedCount;
  }
  get problemCount(): number {
    return this.#facts.problemCount;
  }
  get where(): string | undefined {
    return unpackWhere(this.#text(4), this.summary);
  }
  get site(): string | undefined {
    return this.#keys.site;
  }
  get signature(): string | undefined {
    return this.#keys.signature;
  }
  get keepByPod(): boolean {
    return this.#facts.keepByPod;
  }

  #text(index: number): string | undefined {
    let start = 0;
    for (let skipped = 0; skipped < index; skipped += 1) start = this.#texts.indexOf(BETWEEN, start) + 1;
    const end = this.#texts.indexOf(BETWEEN, start);
    const text = this.#texts.slice(start, end < 0 ? undefined : end);
    return text === "" ? undefined : text;
  }
}

function textsOf({ manifestStamp, podName, podUid, faultAddress, summary, where }: DumpRecord): string {
  const texts = [manifestStamp, podName, podUid, faultAddress, packWhere(where, summary)];
  return texts.map(withoutBetween).join(BETWEEN);
}

function withoutBetween(text: string | undefined): string {
  return text === undefined ? "" : text.replaceAll(BETWEEN, "\ufffd");
}
