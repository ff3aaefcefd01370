import { createHash } from "node:crypto";

/** What of a crash decides its group. Absent means unknown. */
export interface KeyFacts {
  /** Of the pod that it names. */
  namespace?: string | undefined;
  site?: string | undefined;
  signature?: string | undefined;
  /** Path of the executable, or the process's name. */
  exe?: string | undefined;
  signal?: string | undefined;
}

/** What the crashes of a group have in common: `none` where no stack is known, and only executable and signal are the same. */
export interface GroupKey {
  key: "signature" | "site" | "none";
  namespace: string | undefined;
  text: string;
}

const ID_LENGTH = 10;

/** What the id of a group looks like: `bug-` and ten hexadecimal digits. */
export const GROUP_ID = /^bug-[\da-f]{10}$/;

/** For what belongs to no pod: no namespace has this name. */
const NO_NAMESPACE = "_host";

/**
 * Get the key of a crash's group. A namespace has its own groups: names are the crashed program's choice, and one tenant's must
 * not lead to another's crash.
 * @param known the signature of its namespace's crashes of the same site, where they agree: what has no names belongs to them
 */
export function groupKeyOf({ namespace, site, signature, exe, signal }: KeyFacts, known?: string): GroupKey {
  const named = signature ?? (site === undefined ? undefined : known);
  if (named !== undefined) return { key: "signature", namespace, text: named };
  if (site !== undefined) return { key: "site", namespace, text: site };
  return { key: "none", namespace, text: `${exe ?? ""} ${signal ?? ""}` };
}

/** Make the id of a group: the same for the same key, wherever it is made. */
export function groupIdOf({ key, namespace, text }: GroupKey): string {
  const hash = createHash("sha256").update(`${key} ${placeText(namespace, text)}`);
  return `bug-${hash.digest("hex").slice(0, ID_LENGTH)}`;
}

/** Put a namespace and a text into one: no two pairs have the same, whatever characters are in them. */
export function placeText(namespace: string | undefined, text: string): string {
  return JSON.stringify([namespace ?? NO_NAMESPACE, text]);
}
