import { STATE_FOLDER } from "./state-limits.ts";

/**
 * What is about to be removed. A bundle's manifest goes first, so a replica that dies in between leaves a bundle that
 * looks like an upload on its way; the journal tells the two apart.
 */
export interface JournalEntry {
  stem: string;
  /** The bundle's date when it was chosen: another one under the same name is not meant. */
  modifiedAt: number;
}

/** Read a journal; what is no entry of one is left out. */
export function parseJournal(value: unknown): JournalEntry[] {
  const removing = typeof value === "object" && value !== null && "removing" in value ? value.removing : undefined;
  if (!Array.isArray(removing)) return [];
  return (removing as Partial<JournalEntry>[]).filter(
    (entry): entry is JournalEntry =>
      typeof entry?.stem === "string" && typeof entry.modifiedAt === "number" && isStem(entry.stem),
  );
}

/** A journal lies where others may write: only keys that a listing could give count, and they must be there anyway. */
function isStem(stem: string): boolean {
  return stem !== "" && !stem.startsWith(STATE_FOLDER);
}
