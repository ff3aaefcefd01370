import { CdhError } from "../base/errors.ts";
import { giveWay } from "../base/give-way.ts";
import { READ_LIMITS } from "./limits.ts";

/** Describe one entry of a bundle, as its central directory says it. */
export interface BundleEntry {
  readonly name: string;
  /** Decompressed. */
  readonly sizeBytes: number;
  /** What it takes in the zip. */
  readonly storedBytes: number;
  readonly method: "stored" | "deflate";
  readonly crc32: number;
  /** Where its local header starts. */
  readonly headerOffset: number;
  /** Epoch milliseconds, as the composer's UTC clock wrote it. */
  readonly modifiedAt: number;
}

/** What the zip library says of an entry, before anything of it is trusted. */
export interface RawEntry {
  name: string;
  nameBytes: number;
  sizeBytes: number;
  storedBytes: number;
  method: number;
  flags: number;
  crc32: number;
  headerOffset: number;
  /** Made-by byte and external attributes, for the Unix file type. */
  madeBy: number;
  externalAttributes: number;
  modifiedAt: number;
}

/** Entries of a directory that are looked at in a row: a server has others to answer meanwhile. */
export const ENTRIES_IN_A_ROW = 50;

const LOCAL_HEADER_BYTES = 30;
/** Deflate cannot do better than 1032:1. @see zlib's technical notes, "Maximum Compression Factor" */
const DEFLATE_MAX_RATIO = 1032;
const UNIX_TYPE_MASK = 0o170000;
const UNIX_REGULAR = 0o100000;

/** Tell whether an entry is the core by its name. */
export function isCoreName(name: string): boolean {
  return name.endsWith(".core.zst") || name.endsWith(".core");
}

/**
 * Check one entry by itself.
 * @throws {CdhError} CDH_BUNDLE_NAME, CDH_BUNDLE_SPECIAL, CDH_BUNDLE_ENCRYPTED, CDH_BUNDLE_METHOD, CDH_BUNDLE_SIZE
 */
export function checkEntry(raw: RawEntry, label: string): BundleEntry {
  const refuse = (code: ConstructorParameters<typeof CdhError>[0], why: string): never => {
    throw new CdhError(code, `cannot trust ${label}: entry ${JSON.stringify(raw.name)} ${why}`);
  };
  const badName = whyBadName(raw.name);
  if (badName !== undefined) refuse("CDH_BUNDLE_NAME", badName);
  const type = raw.madeBy === 3 ? (raw.externalAttributes >>> 16) & UNIX_TYPE_MASK : 0;
  if (type !== 0 && type !== UNIX_REGULAR)
    refuse("CDH_BUNDLE_SPECIAL", "is a link, a directory or a device, not a file");
  if (raw.name.endsWith("/")) refuse("CDH_BUNDLE_SPECIAL", "is a directory, not a file");
  if ((raw.flags & 0x1) !== 0) refuse("CDH_BUNDLE_ENCRYPTED", "is encrypted");
  if (raw.method !== 0 && raw.method !== 8)
    refuse("CDH_BUNDLE_METHOD", `has compression method ${raw.method}; bundles use 0 and 8`);
  if (raw.method === 0 && raw.sizeBytes !== raw.storedBytes) {
    refuse("CDH_BUNDLE_SIZE", `is stored, and yet says ${raw.storedBytes} bytes become ${raw.sizeBytes}`);
  }
  if (raw.method === 8 && raw.sizeBytes > raw.storedBytes * DEFLATE_MAX_RATIO) {
    refuse("CDH_BUNDLE_SIZE", `says that ${raw.storedBytes} bytes become ${raw.sizeBytes}, which deflate cannot do`);
  }
  return {
    name: raw.name,
    sizeBytes: raw.sizeBytes,
    storedBytes: raw.storedBytes,
    method: raw.method === 0 ? "stored" : "deflate",
    crc32: raw.crc32,
    headerOffset: raw.headerOffset,
    modifiedAt: raw.modifiedAt,
  };
}

/**
 * Check all entries together: names, places, and how much they would unpack to.
 * @param directoryOffset where the central directory starts: the end of all data
 * @returns for each entry the offset that its data must not pass: the next entry, or the directory
 * @throws {CdhError} CDH_BUNDLE_DUPLICATE, CDH_BUNDLE_DIRECTORY, CDH_BUNDLE_OVERLAP, CDH_BUNDLE_BOMB
 */
export async function checkDirectory(
  entries: readonly { entry: BundleEntry; nameBytes: number }[],
  directoryOffset: number,
  label: string,
): Promise<ReadonlyMap<BundleEntry, number>> {
  const names = new Set<string>();
  let sidecarBytes = 0;
  for (const { entry } of entries) {
    // Names that differ only in case are one file on macOS and Windows.
    const key = entry.name.normalize("NFC").toLowerCase();
    if (names.has(key))
      throw new CdhError(
        "CDH_BUNDLE_DUPLICATE",
        `cannot trust ${label}: two entries are named ${JSON.stringify(entry.name)}`,
      );
    names.add(key);
    if (names.size % ENTRIES_IN_A_ROW === 0) await giveWay();
    if (!isCoreName(entry.name)) sidecarBytes += entry.sizeBytes;
  }
  if (sidecarBytes > READ_LIMITS.smallEntriesBytes) {
    throw new CdhError(
      "CDH_BUNDLE_BOMB",
      `cannot trust ${label}: beside the core it would unpack to ${sidecarBytes} bytes`,
    );
  }
  const byOffset = entries.toSorted((left, right) => left.entry.headerOffset - right.entry.headerOffset);
  const limits = new Map<BundleEntry, number>();
  for (const [index, { entry, nameBytes }] of byOffset.entries()) {
    const end = entry.headerOffset + LOCAL_HEADER_BYTES + nameBytes + entry.storedBytes;
    if (entry.headerOffset >= directoryOffset || !Number.isSafeInteger(end)) {
      throw new CdhError(
        "CDH_BUNDLE_DIRECTORY",
        `cannot trust ${label}: the directory points outside the data for ${JSON.stringify(entry.name)}`,
      );
    }
    const next = byOffset[index + 1]?.entry;
    const limit = next?.headerOffset ?? directoryOffset;
    limits.set(entry, limit);
    if (end > limit) {
      const into = next === undefined ? "the directory" : JSON.stringify(next.name);
      throw new CdhError(
        "CDH_BUNDLE_OVERLAP",
        `cannot trust ${label}: entry ${JSON.stringify(entry.name)} runs into ${into}`,
      );
    }
  }
  return limits;
}

function whyBadName(name: string): string | undefined {
  if (name === "") return "has an empty name";
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  if (/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/.test(name))
    return "has control characters in its name";
  if (name.includes("\\")) return "has a backslash in its name";
  if (name.startsWith("/") || /^[a-zA-Z]:/.test(name)) return "has an absolute name";
  if (
    name
      .replace(/\/$/, "")
      .split("/")
      .some((part) => part === ".." || part === "." || part === "")
  )
    return "has a name that leaves its folder";
  return undefined;
}
