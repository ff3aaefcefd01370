/** Where a store keeps the files of programs, for all bundles of the store: `debug/<build-id>/executable.zst`. */
export const DEBUG_FOLDER = "debug/";

/**
 * What a file is to a debugger: the program or library that ran, the file with its debug info (which may have the code too),
 * or the package of its split debug info.
 */
export const DEBUG_ROLES = ["executable", "debuginfo", "dwp"] as const;

/** One of {@link DEBUG_ROLES}. */
export type DebugRole = (typeof DEBUG_ROLES)[number];

/** One file of a build-id. */
export interface DebugFileId {
  /** Lower-case hexadecimal; of a file without one, as {@link storedIdOf} has it. */
  buildId: string;
  role: DebugRole;
}

/** Bytes of a build-id: linkers write 8 to 32, and `--build-id=0x…` what it is told. */
const BUILD_ID_BYTES = { min: 2, max: 64 };
const SUFFIX = ".zst";

/** Read a build-id as a person, a URL or a key has it; undefined when it is none. */
export function tryParseBuildId(text: string): string | undefined {
  const bytes = text.length / 2;
  const fits = Number.isInteger(bytes) && bytes >= BUILD_ID_BYTES.min && bytes <= BUILD_ID_BYTES.max;
  return fits && /^[0-9a-f]+$/i.test(text) ? text.toLowerCase() : undefined;
}

/**
 * Tell under what a store keeps a file: its build-id, else the SHA-256 of the whole of it, which looks like a long one. Undefined
 * where there is neither.
 */
export function storedIdOf({ buildId, sha256 }: { buildId?: string; sha256?: string }): string | undefined {
  if (buildId !== undefined) return tryParseBuildId(buildId);
  return sha256 !== undefined && isSha256(sha256) ? sha256 : undefined;
}

/** Tell whether an id may be the SHA-256 of a file without a build-id. */
export function isSha256(id: string): boolean {
  return /^[0-9a-f]{64}$/.test(id);
}

/**
 * Make the key of a file.
 * @param base what comes before it where the store's own prefix is not opened: empty, or ending in a slash
 */
export function debugFileKey({ buildId, role }: DebugFileId, base = ""): string {
  return `${base}${DEBUG_FOLDER}${buildId}/${role}${SUFFIX}`;
}

/** Read what {@link debugFileKey} made; undefined when a key is none of these. */
export function tryParseDebugFileKey(key: string, base = ""): DebugFileId | undefined {
  if (!key.startsWith(`${base}${DEBUG_FOLDER}`)) return undefined;
  const [id = "", name, ...more] = key.slice(base.length + DEBUG_FOLDER.length).split("/");
  const role = DEBUG_ROLES.find((one) => `${one}${SUFFIX}` === name);
  return role === undefined || more.length > 0 || tryParseBuildId(id) !== id ? undefined : { buildId: id, role };
}

const ASKED = "asked";

/** Key of the note that a node found the files of a build-id in the store, and did not send its own: its bundle may come later. */
export function askedKey(buildId: string): string {
  return `${DEBUG_FOLDER}${buildId}/${ASKED}`;
}

/** Read the build-id of a key that {@link askedKey} made; undefined when it is none. */
export function tryParseAskedKey(key: string): string | undefined {
  const [id = "", name, ...more] = key.startsWith(DEBUG_FOLDER) ? key.slice(DEBUG_FOLDER.length).split("/") : [];
  return name === ASKED && more.length === 0 && tryParseBuildId(id) === id ? id : undefined;
}
