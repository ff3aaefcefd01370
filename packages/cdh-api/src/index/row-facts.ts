import type { DumpRecord } from "./dump-record.ts";
import { hashOf } from "./hash-of.ts";

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

  facts(from: RowFacts): RowFacts {
    return shared(this.#facts, this.#picked(from, FACT_KINDS));
  }

  counts(from: RowCounts): RowCounts {
    return shared(this.#counts, this.#picked(from, COUNT_KINDS));
  }

  /** Take the named fields, in their order: objects that are made alike take less memory, and a text of another is not kept. */
  #picked<T extends object>(from: T, kinds: Readonly<Record<string, FactKind>>): T {
    const picked: Record<string, unknown> = {};
    for (const name in kinds) {
      const value = from[name as keyof T] as unknown;
      if (typeof value !== "string") picked[name] = value;
      else picked[name] = value === "" && kinds[name] === "text?" ? undefined : this.text(value);
    }
    return picked as T;
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
