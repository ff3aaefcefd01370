import type { DumpRecord } from "./dump-record.ts";
import { hashOf } from "./hash-of.ts";
import { shortText } from "./short-text.ts";

/** What a fact of a dump is, and whether it may be unknown. */
export type FactKind = "text" | "number" | "boolean" | "text?" | "number?" | "boolean?";

/** What many dumps have in common, such as all those of one bug of one workload: held once for all of them. */
export const FACT_KINDS = {
  namespace: "text",
  uid: "number?",
  comm: "text?",
  exe: "text?",
  signalNumber: "number",
  signalName: "text",
  codeName: "text?",
  containerName: "text?",
  podNamespace: "text?",
  ownerKind: "text?",
  ownerName: "text?",
  clusterName: "text?",
  architecture: "text?",
  compression: "text",
  complete: "boolean",
  truncatedBy: "text?",
  identitySource: "text?",
  identityVerified: "boolean?",
  restricted: "boolean",
  keepByPod: "boolean",
  site: "text?",
  signature: "text?",
} as const satisfies { [Name in keyof DumpRecord]?: FactKind };

/** What differs between the crashes of one bug, and yet is seldom new. */
export const COUNT_KINDS = {
  restartCount: "number?",
  suppressedCount: "number?",
  countedSince: "number?",
  problemCount: "number",
} as const satisfies { [Name in keyof DumpRecord]?: FactKind };

export type RowFacts = Pick<DumpRecord, keyof typeof FACT_KINDS>;
export type RowCounts = Pick<DumpRecord, keyof typeof COUNT_KINDS>;

/** Past so many, facts are simply not shared: nobody fills memory with what occurs once. */
const FACTS_MAX = 50_000;
const TEXTS_MAX = 100_000;

/** Hold texts and facts that are the same once. */
export class FactsPool {
  readonly #facts = new Map<number, RowFacts>();
  readonly #counts = new Map<number, RowCounts>();
  readonly #texts = new Map<string, string>();

  /** What fills this is forgotten, and what comes then is shared again. */
  text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  /** A text that is a name or a path, cut where it is longer than any should be. */
  name(text: string): string {
    return this.text(shortText(text));
  }

  // Written out: an object of so many fields that are set by their names is a table, and takes five times as much.
  facts(from: RowFacts): RowFacts {
    return shared(this.#facts, {
      namespace: this.name(from.namespace),
      uid: from.uid,
      comm: this.#known(from.comm),
      exe: this.#known(from.exe),
      signalNumber: from.signalNumber,
      signalName: this.name(from.signalName),
      codeName: this.#known(from.codeName),
      containerName: this.#known(from.containerName),
      podNamespace: this.#known(from.podNamespace),
      ownerKind: this.#known(from.ownerKind),
      ownerName: this.#known(from.ownerName),
      clusterName: this.#known(from.clusterName),
      architecture: this.#known(from.architecture),
      compression: this.name(from.compression),
      complete: from.complete,
      truncatedBy: this.#known(from.truncatedBy),
      identitySource: this.#known(from.identitySource),
      identityVerified: from.identityVerified,
      restricted: from.restricted,
      keepByPod: from.keepByPod,
      site: this.#known(from.site),
      // The key of a bug is told as the manifest has it.
      signature: from.signature === undefined || from.signature === "" ? undefined : this.text(from.signature),
    });
  }

  counts({ restartCount, suppressedCount, countedSince, problemCount }: RowCounts): RowCounts {
    return shared(this.#counts, { restartCount, suppressedCount, countedSince, problemCount });
  }

  #known(text: string | undefined): string | undefined {
    return text === undefined || text === "" ? undefined : this.name(text);
  }
}

function shared<T extends object>(known: Map<number, T>, facts: T): T {
  const key = hashOf(Object.values(facts).join("\0"));
  const there = known.get(key);
  if (there !== undefined) return isSame(there, facts) ? there : facts;
  if (known.size >= FACTS_MAX) known.clear();
  known.set(key, facts);
  return facts;
}

function isSame<T extends object>(one: T, other: T): boolean {
  for (const key in one) if (one[key] !== other[key]) return false;
  return true;
}
