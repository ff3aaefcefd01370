import yauzl from "yauzl";
import { CdhError } from "../base/errors.ts";
import { giveWay } from "../base/give-way.ts";
import { libraryField } from "../base/library-field.ts";
import { READ_LIMITS } from "./limits.ts";
import { checkDirectory, checkEntry, ENTRIES_IN_A_ROW, type BundleEntry, type RawEntry } from "./reader-directory.ts";
import { readEntry, readEntryStored, streamEntry, type Located } from "./reader-entry.ts";
import { baseNameOf, entryRole, type EntryRole } from "./reader-roles.ts";
import { fileSource, type RandomAccessSource } from "./reader-source.ts";

export type { BundleEntry } from "./reader-directory.ts";

/** Read a bundle: its directory is checked, its entries are read on demand. */
export interface Bundle {
  readonly source: RandomAccessSource;
  /** `N` of docs/on-disk.md, taken from the entries; undefined in a zip that holds no entry of ours. */
  readonly name: string | undefined;
  /** In the directory's order. */
  readonly entries: readonly BundleEntry[];
  find(name: string): BundleEntry | undefined;
  /** The first in the directory's order. */
  findRole(role: EntryRole): BundleEntry | undefined;
  roleOf(entry: BundleEntry): EntryRole;
  /**
   * Read a small entry whole.
   * @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE above `maxBytes` (default 4 MiB); CDH_BUNDLE_HEADER, _SIZE, _CRC, _DATA
   */
  read(entry: BundleEntry, options?: { maxBytes?: number; signal?: AbortSignal }): Promise<Buffer>;
  /** Decompress an entry piece by piece; size and CRC are checked at its end. */
  stream(entry: BundleEntry, options?: { signal?: AbortSignal }): AsyncIterable<Buffer>;
  /** Read raw bytes of an entry as they lie in the zip. */
  readStored(entry: BundleEntry, offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  close(): Promise<void>;
}

const END_SIGNATURES = new Set([0x06054b50, 0x06064b50]);

/**
 * Open a bundle and check its structure. Costs one read of the end of the file, whatever the core's size.
 * @throws {CdhError} CDH_BUNDLE_NOT_ZIP, _CUT_SHORT, _DIRECTORY, _TOO_MANY and those of {@link checkEntry} and {@link checkDirectory}
 * @see the zip APPNOTE, 4.3
 */
export async function openBundle(source: RandomAccessSource): Promise<Bundle> {
  const zip = await openZip(source);
  const { entries, limits } = await readDirectory(zip, source);
  const located = new Map<BundleEntry, Promise<Located>>();
  const locate = (entry: BundleEntry): Promise<Located> => {
    const known = located.get(entry) ?? readLocalHeader(zip, entry, limits.get(entry) ?? 0, source.label);
    located.set(entry, known);
    return known;
  };
  const names = new Map(entries.map((entry) => [entry.name, entry]));
  const name = baseNameOf(entries);
  const roles = await rolesOf(entries, name);
  return {
    source,
    name,
    entries,
    find: (wanted) => names.get(wanted),
    findRole: (role) => roles.first.get(role),
    roleOf: (entry) => roles.all.get(entry) ?? "other",
    read: async (entry, options) => readEntry(source, entry, await locate(entry), options),
    stream: async function* (entry, options) {
      yield* streamEntry(source, entry, await locate(entry), options?.signal);
    },
    readStored: async (entry, offset, length, signal) =>
      readEntryStored(source, entry, await locate(entry), offset, length, signal),
    close: async () => {
      zip.close();
      await source.close();
    },
  };
}

/** Open a bundle file; the file is closed again when it is no bundle. @throws {CdhError} see {@link openBundle} */
export async function openBundleFile(path: string): Promise<Bundle> {
  const source = await fileSource(path);
  try {
    return await openBundle(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

class SourceReader extends yauzl.RandomAccessReader {
  readonly source: RandomAccessSource;

  constructor(source: RandomAccessSource) {
    super();
    this.source = source;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.source.read(position, length).then(
      (bytes) => {
        bytes.copy(buffer, offset);
        callback(null, length);
      },
      (error: Error) => callback(error),
    );
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

async function openZip(source: RandomAccessSource): Promise<yauzl.ZipFile> {
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false, validateEntrySizes: false };
  try {
    if (source.sizeBytes < 22) throw new Error("too short for a zip");
    return await yauzl.fromRandomAccessReaderPromise(new SourceReader(source), source.sizeBytes, options);
  } catch (error) {
    if (error instanceof CdhError && error.code !== "CDH_BUNDLE_CUT_SHORT") throw error;
    const why = error instanceof Error ? error.message : String(error);
    const start = await source.read(0, Math.min(4, source.sizeBytes));
    const startsLikeZip = start.length === 4 && start.readUInt32LE(0) === 0x04034b50;
    if (!/signature not found|too short/.test(why)) throw directoryError(source.label, why);
    if (!startsLikeZip)
      throw new CdhError("CDH_BUNDLE_NOT_ZIP", `cannot read ${source.label}: not a zip file`, { cause: error });
    throw new CdhError(
      "CDH_BUNDLE_CUT_SHORT",
      `cannot read ${source.label}: it starts like a bundle, but its end is missing`,
      {
        hint: "the file was cut: fetch it again, or take it from the node's spool",
        cause: error,
      },
    );
  }
}

async function readDirectory(
  zip: yauzl.ZipFile,
  source: RandomAccessSource,
): Promise<{ entries: BundleEntry[]; limits: ReadonlyMap<BundleEntry, number> }> {
  const directoryOffset = cursorOf(zip);
  if (zip.entryCount > READ_LIMITS.entries) {
    throw new CdhError("CDH_BUNDLE_TOO_MANY", `cannot trust ${source.label}: it says it has ${zip.entryCount} entries`);
  }
  const directoryBytes = source.sizeBytes - directoryOffset;
  if (directoryBytes > READ_LIMITS.directoryBytes) {
    throw new CdhError(
      "CDH_BUNDLE_TOO_MANY",
      `cannot trust ${source.label}: its directory has ${directoryBytes} bytes`,
    );
  }
  const checked: { entry: BundleEntry; nameBytes: number }[] = [];
  try {
    for await (const raw of zip.eachEntry()) {
      checked.push({ entry: checkEntry(rawEntry(raw), source.label), nameBytes: raw.fileNameLength });
      if (checked.length % ENTRIES_IN_A_ROW === 0) await giveWay();
    }
    const end = await source.read(cursorOf(zip), 4);
    if (!END_SIGNATURES.has(end.readUInt32LE(0)))
      throw new Error("the directory does not end where its own end record says");
  } catch (error) {
    if (error instanceof CdhError && error.code !== "CDH_BUNDLE_CUT_SHORT") throw error;
    if (/strong encryption/.test(String(error)))
      throw new CdhError("CDH_BUNDLE_ENCRYPTED", `cannot trust ${source.label}: it is encrypted`);
    throw directoryError(source.label, error instanceof Error ? error.message : String(error));
  }
  const limits = await checkDirectory(checked, directoryOffset, source.label);
  return { entries: checked.map(({ entry }) => entry), limits };
}

/** Tell what each entry is for. */
async function rolesOf(
  entries: readonly BundleEntry[],
  name: string | undefined,
): Promise<{ all: ReadonlyMap<BundleEntry, EntryRole>; first: ReadonlyMap<EntryRole, BundleEntry> }> {
  const all = new Map<BundleEntry, EntryRole>();
  const first = new Map<EntryRole, BundleEntry>();
  for (const entry of entries) {
    const role = entryRole(entry.name, name);
    all.set(entry, role);
    if (!first.has(role)) first.set(role, entry);
    if (all.size % ENTRIES_IN_A_ROW === 0) await giveWay();
  }
  return { all, first };
}

/** Where the library reads the directory next: at first its beginning, and its end once all entries were read. */
function cursorOf(zip: yauzl.ZipFile): number {
  return libraryField(zip, "readEntryCursor", "number", "yauzl's ZipFile");
}

async function readLocalHeader(zip: yauzl.ZipFile, entry: BundleEntry, limit: number, label: string): Promise<Located> {
  const fake = { relativeOffsetOfLocalHeader: entry.headerOffset, compressedSize: entry.storedBytes } as yauzl.Entry;
  const header = await zip.readLocalFileHeaderPromise(fake).catch((error: unknown) => {
    if (error instanceof CdhError && error.code !== "CDH_BUNDLE_CUT_SHORT") throw error;
    throw headerError(label, entry, error instanceof Error ? error.message : String(error));
  });
  const method = header.compressionMethod === 0 ? "stored" : header.compressionMethod === 8 ? "deflate" : "other";
  if (method !== entry.method) throw headerError(label, entry, "its two headers name different compression methods");
  if ((header.generalPurposeBitFlag & 1) !== 0)
    throw headerError(label, entry, "its local header says it is encrypted");
  if (decodeName(header.fileName) !== entry.name)
    throw headerError(label, entry, "its two headers name different files");
  const end = header.fileDataStart + entry.storedBytes;
  if (end > limit) {
    throw new CdhError(
      "CDH_BUNDLE_OVERLAP",
      `cannot trust ${label}: entry ${JSON.stringify(entry.name)} runs into the next one`,
    );
  }
  return { dataOffset: header.fileDataStart };
}

function rawEntry(entry: yauzl.Entry): RawEntry {
  return {
    name: decodeName(entry.fileNameRaw),
    nameBytes: entry.fileNameLength,
    sizeBytes: entry.uncompressedSize,
    storedBytes: entry.compressedSize,
    method: entry.compressionMethod,
    flags: entry.generalPurposeBitFlag,
    crc32: entry.crc32,
    headerOffset: entry.relativeOffsetOfLocalHeader,
    madeBy: entry.versionMadeBy >>> 8,
    externalAttributes: entry.externalFileAttributes,
    modifiedAt: entry.getLastModDate({ timezone: "UTC" }).getTime(),
  };
}

/** Composers write UTF-8, whether they set the flag for it or not; other bytes are taken one by one. */
function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Buffer.from(bytes).toString("latin1");
  }
}

function directoryError(label: string, why: string): CdhError {
  return new CdhError("CDH_BUNDLE_DIRECTORY", `cannot trust ${label}: ${why}`);
}

function headerError(label: string, entry: BundleEntry, why: string): CdhError {
  return new CdhError("CDH_BUNDLE_HEADER", `cannot read ${JSON.stringify(entry.name)} in ${label}: ${why}`);
}
