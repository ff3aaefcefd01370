import type { DumpRecord } from "./dump-record.ts";
import { packWhere, unpackWhere } from "./packed-where.ts";

/** What many dumps have in common, such as all those of one workload on one node: held once for all of them. */
type CommonFacts = Pick<
  DumpRecord,
  | "namespace"
  | "uid"
  | "comm"
  | "exe"
  | "signalNumber"
  | "signalName"
  | "codeName"
  | "containerName"
  | "imageRef"
  | "restartCount"
  | "podNamespace"
  | "ownerKind"
  | "ownerName"
  | "nodeName"
  | "clusterName"
  | "architecture"
  | "compression"
  | "complete"
  | "truncatedBy"
  | "identitySource"
  | "identityVerified"
  | "restricted"
  | "suppressedCount"
  | "problemCount"
  | "keepByPod"
>;

/** Past so many, facts are simply not shared: nobody fills memory with what occurs once. */
const FACTS_MAX = 20_000;
const TEXTS_MAX = 50_000;
/** So many lines of why and where are known at a time: a crash loop's are the same, others hold an id or an address. */
const SUMMARIES_MAX = 10_000;
/** Between the texts of one dump: none of them holds it. */
const BETWEEN = "\0";

/** Make records that share what they have in common. */
export class RecordPool {
  readonly #facts = new Map<number, CommonFacts>();
  readonly #texts = new Map<string, string>();
  readonly #summaries = new Map<string, string>();

  /** Pack a record. It is then an object of its own, and what `record` was made of can go. */
  pack(record: DumpRecord): DumpRecord {
    const facts = this.#share(commonOf(record, (text) => this.#text(text)));
    return new PackedRecord(record, facts, this.#summary(record.summary));
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

  constructor(from: DumpRecord, facts: CommonFacts, summary: string, texts?: string) {
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
    this.#texts = texts ?? textsOf(from);
  }

  changed(changes: Changes): PackedRecord {
    const { stem, name, bundleBytes, storedAt, keep, revision } = this;
    const { crashedAt, pid, coreBytes, coreStoredBytes, expectedBytes } = this;
    const own = { stem, name, bundleBytes, storedAt, keep, revision };
    const fixed = { crashedAt, pid, coreBytes, coreStoredBytes, expectedBytes };
    return new PackedRecord({ ...own, ...fixed, ...changes } as DumpRecord, this.#facts, this.summary, this.#texts);
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

function commonOf(record: DumpRecord, share: (text: string) => string): CommonFacts {
  const shared = (text: string | undefined): string | undefined =>
    text === undefined || text === "" ? undefined : share(text);
  return {
    namespace: share(record.namespace),
    uid: record.uid,
    comm: shared(record.comm),
    exe: shared(record.exe),
    signalNumber: record.signalNumber,
    signalName: share(record.signalName),
    codeName: shared(record.codeName),
    containerName: shared(record.containerName),
    imageRef: shared(record.imageRef),
    restartCount: record.restartCount,
    podNamespace: shared(record.podNamespace),
    ownerKind: shared(record.ownerKind),
    ownerName: shared(record.ownerName),
    nodeName: shared(record.nodeName),
    clusterName: shared(record.clusterName),
    architecture: shared(record.architecture),
    compression: share(record.compression),
    complete: record.complete,
    truncatedBy: shared(record.truncatedBy),
    identitySource: shared(record.identitySource),
    identityVerified: record.identityVerified,
    restricted: record.restricted,
    suppressedCount: record.suppressedCount,
    problemCount: record.problemCount,
    keepByPod: record.keepByPod,
  };
}

function isSame(one: CommonFacts, other: CommonFacts): boolean {
  for (const key in one) {
    if (one[key as keyof CommonFacts] !== other[key as keyof CommonFacts]) return false;
  }
  return true;
}

/** 53 bits of a text: two multiplicative hashes side by side. Equal ones are compared by what they stand for. */
function hashOf(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 2_654_435_761);
    low = Math.imul(low ^ code, 1_597_334_677);
    // Turned, because the low bits of a product know nothing of the high ones.
    high = (high << 13) | (high >>> 19);
    low = (low << 11) | (low >>> 21);
  }
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0);
}
