import { toRfc3339 } from "@cdh/core/clock";
import { keyPart } from "@cdh/core/store/keys";
import type { ObjectStore } from "@cdh/core/store/store";
import type { JournalEntry } from "../manifests/journal-entries.ts";
import { STATE_FOLDER } from "../manifests/state-limits.ts";
import { parseInThread } from "../manifests/thread.ts";
import { readState, writeState } from "./state-objects.ts";
import type { StoredBundle } from "./stored-bundle.ts";

const PREFIX = "removing-";

/** Name the journal of a replica. */
export function journalName(identity: string): string {
  return `${PREFIX}${keyPart(identity).slice(0, 200)}.json`;
}

/** Write down what is removed next. @throws {CdhError} CDH_STORE… */
export async function writeJournal(
  store: ObjectStore,
  name: string,
  entries: readonly JournalEntry[],
  { writtenAt, signal }: { writtenAt: number; signal: AbortSignal },
): Promise<void> {
  // With its time in it no two are the same, so that each gets a date of its own from the store.
  await writeState(store, name, { schemaVersion: 1, writtenAt: toRfc3339(writtenAt), removing: entries }, signal);
}

/** Forget what was removed. @throws {CdhError} CDH_STORE… */
export async function clearJournal(store: ObjectStore, name: string, signal?: AbortSignal): Promise<void> {
  await store.delete(`${STATE_FOLDER}${name}`, signal);
}

/** A journal that a replica left behind, or still writes. */
export interface Journal {
  name: string;
  modifiedAt: number;
  entries: JournalEntry[];
}

/** Read every journal. @throws {CdhError} CDH_STORE… */
export async function readJournals(store: ObjectStore, signal: AbortSignal): Promise<Journal[]> {
  const found: { name: string; modifiedAt: number }[] = [];
  for await (const { key, modifiedAt } of store.list(`${STATE_FOLDER}${PREFIX}`, { signal })) {
    found.push({ name: key.slice(STATE_FOLDER.length), modifiedAt });
  }
  const journals: Journal[] = [];
  for (const one of found) {
    const entries = await readState(store, one.name, (bytes) => parseInThread("journal", bytes, one.name), signal);
    journals.push({ ...one, entries: entries ?? [] });
  }
  return journals;
}

/** Find the bundles of a survey that lost their manifest to a removal that was cut short, and nothing else since. */
export function halfRemoved(bundles: readonly StoredBundle[], entries: readonly JournalEntry[]): StoredBundle[] {
  // A listing of S3 may tell milliseconds where a look at one object tells seconds.
  const seconds = (ms: number): number => Math.floor(ms / 1000);
  const chosen = new Map(entries.map(({ stem, modifiedAt }) => [stem, seconds(modifiedAt)]));
  return bundles.filter(
    ({ stem, bundle, manifest, isKept }) =>
      !isKept && manifest === undefined && bundle !== undefined && chosen.get(stem) === seconds(bundle.modifiedAt),
  );
}
