import { isRecord } from "@cdh/core/base/records";

/** When things were first seen to be gone, epoch milliseconds. Kept in the store, so that a grace survives restarts. */
export interface GoneLedger {
  namespaces: Map<string, number>;
  /** By namespace and {@link podKey}; a pod's UID never comes back. */
  pods: Map<string, Map<string, number>>;
}

/** Know nothing. */
export function emptyLedger(): GoneLedger {
  return { namespaces: new Map(), pods: new Map() };
}

/**
 * Read what a ledger says of some pods and their namespaces; whatever is not what it should be is left out, which starts a
 * grace anew.
 * @param keys from {@link ledgerKeys}: whatever else a ledger names, nobody asks for it
 */
export function parseLedger(value: unknown, keys: readonly string[]): GoneLedger {
  const ledger = emptyLedger();
  if (!isRecord(value) || value["schemaVersion"] !== 1) return ledger;
  const isAsked = new Set(keys);
  const namespaces = new Set(keys.map((key) => key.slice(0, key.indexOf("/"))));
  for (const [namespace, since] of dates(value["namespaces"]))
    if (namespaces.has(namespace)) ledger.namespaces.set(namespace, since);
  if (!isRecord(value["pods"])) return ledger;
  for (const [namespace, uids] of Object.entries(value["pods"])) {
    const asked = dates(uids).filter(([key]) => isAsked.has(`${namespace}/${key}`));
    if (asked.length > 0) ledger.pods.set(namespace, new Map(asked));
  }
  return ledger;
}

function dates(value: unknown): [string, number][] {
  if (!isRecord(value)) return [];
  return Object.entries(value).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number" && Number.isFinite(entry[1]),
  );
}

/** Read the dates that a document of ours keeps under a name; what is not what it should be is left out. */
export function parseDates(value: unknown, name: string): [key: string, date: number][] {
  return isRecord(value) && value["schemaVersion"] === 1 ? dates(value[name]) : [];
}
