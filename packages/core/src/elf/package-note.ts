import { tryParseJson } from "../base/json.ts";
import { decodeText } from "./bytes.ts";

/**
 * What a distribution wrote about the package of an ELF file, in the words of the specification; none is checked by us.
 * @see https://uapi-group.org/specifications/specs/package_metadata_for_executable_files
 */
export type PackageFacts = Partial<Record<(typeof PACKAGE_FIELDS)[number], string>>;

/** The specification's fields. What else a note holds is left out: anybody can write one. */
const PACKAGE_FIELDS = [
  "type",
  "name",
  "version",
  "architecture",
  "os",
  "osVersion",
  "osCpe",
  "appCpe",
  "debugInfoUrl",
] as const;

/** Longest note that is looked at; distributions write 100 to 400 bytes. */
export const PACKAGE_NOTE_MAX_BYTES = 4096;

/** It is one object; the elements leave room for fields that are not ours. */
const NOTE_LIMITS = { bytes: PACKAGE_NOTE_MAX_BYTES, depth: 4, elements: 100 };

/** Longest field, in bytes. A longer one is left out: half a version or a URL says something else than the whole. */
const FIELD_MAX_BYTES = 512;

/** Read a package note: known fields that are texts. @returns undefined when there is none of them */
export function tryParsePackageNote(desc: Uint8Array): PackageFacts | undefined {
  const value = tryParseJson(decodeText(desc), NOTE_LIMITS);
  if (typeof value !== "object" || value === null) return undefined;
  const facts: PackageFacts = {};
  for (const field of PACKAGE_FIELDS) {
    if (!Object.hasOwn(value, field)) continue;
    const text = (value as Record<string, unknown>)[field];
    if (typeof text === "string" && text !== "" && Buffer.byteLength(text) <= FIELD_MAX_BYTES) facts[field] = text;
  }
  return Object.keys(facts).length === 0 ? undefined : facts;
}
