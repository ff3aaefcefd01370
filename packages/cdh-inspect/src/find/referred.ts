import { buildIdsOf } from "@cdh/core/debug-files/referred";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { ObjectStore } from "@cdh/core/store/store";
import { mapConcurrently } from "../concurrently.ts";
import { findInStore } from "./in-store.ts";
import { readListedManifest } from "./list.ts";

/** The build-ids that a store's bundles refer to. */
export interface Referred {
  buildIds: Set<string>;
  bundles: number;
  /** Bundles that do not say which files they need, and why; at most a few are named. */
  silent: { count: number; examples: string[] };
}

const READS_AT_ONCE = 32;
const EXAMPLES_MAX = 5;

/**
 * Read which files the bundles of a store refer to.
 * @param known bundles that were read before are not read again
 * @throws {CdhError} the CDH_STORE family
 */
export async function readReferred(store: ObjectStore, known: Set<string>, signal: AbortSignal): Promise<Referred> {
  const found = await findInStore(store, "", signal).catch((error: unknown) => {
    if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return { found: [] };
    throw error;
  });
  const referred: Referred = { buildIds: new Set(), bundles: 0, silent: { count: 0, examples: [] } };
  const fresh = found.found.filter(({ label }) => !known.has(label));
  await mapConcurrently(fresh, READS_AT_ONCE, async (one) => {
    signal.throwIfAborted();
    referred.bundles += 1;
    try {
      const ids = buildIdsOf(await readListedManifest(one));
      for (const id of ids ?? []) referred.buildIds.add(id);
      if (ids !== undefined) return void known.add(one.label);
      tell(referred, `${one.label}: it lists no modules`);
    } catch (error) {
      // Which files it needs is not known as long as it cannot be read, whatever the reason.
      tell(referred, `${one.label}: ${reasonOf(error)}`);
    }
    known.add(one.label);
  });
  return referred;
}

function tell({ silent }: Referred, text: string): void {
  silent.count += 1;
  if (silent.examples.length < EXAMPLES_MAX) silent.examples.push(text);
}
