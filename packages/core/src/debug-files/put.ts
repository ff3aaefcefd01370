import { rm } from "node:fs/promises";
import { CdhError } from "../base/errors.ts";
import type { ObjectInfo, ObjectStore, PutOptions } from "../store/store.ts";
import { debugFileKey, tryParseBuildId, type DebugFileId } from "./keys.ts";
import { hashBytes, packFile, type FileBytes, type Packed } from "./pack.ts";

/** What came of it: `other` says that the store keeps another file of this build-id, which stays. */
export type PutOutcome = "stored" | "alreadyThere" | "other";

/** A packed file and what it is. */
export interface PackedFile extends Packed {
  id: DebugFileId;
  /** Of the packed file. */
  path: string;
  /** What the file is called where it came from, without folders. */
  name: string;
  /** Of the file that it shares debug info with, which it is useless without. @see dwz(1) */
  sharedBuildId?: string | undefined;
  /** It can be run: where it is kept as debug info, it serves as the program too. */
  hasCode: boolean;
}

/** Metadata of an object, besides what every store adds. */
const META = {
  sha256: "cdh-file-sha256",
  sizeBytes: "cdh-file-bytes",
  name: "cdh-file-name",
  shared: "cdh-shared-build-id",
  code: "cdh-file-code",
} as const;
const NAME_MAX = 128;

/** What a stored file says about itself. Absent: whoever put it there did not say. */
export interface StoredFacts {
  sizeBytes?: number;
  sha256?: string;
  name?: string;
  sharedBuildId?: string;
  hasCode?: boolean;
}

/** Read what a stored file says about itself. */
export function factsOfStored({ metadata = {} }: Pick<ObjectInfo, "metadata">): StoredFacts {
  const size = Number(metadata[META.sizeBytes]);
  const sha256 = metadata[META.sha256];
  const name = metadata[META.name];
  const sharedBuildId = tryParseBuildId(metadata[META.shared] ?? "");
  return {
    ...(Number.isSafeInteger(size) && size > 0 ? { sizeBytes: size } : {}),
    ...(sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? { sha256 } : {}),
    ...(name === undefined ? {} : { name }),
    ...(sharedBuildId === undefined ? {} : { sharedBuildId }),
    ...(metadata[META.code] === undefined ? {} : { hasCode: metadata[META.code] === "true" }),
  };
}

/**
 * Put a packed file into the store, unless a file of its build-id is there. Two that do it at once agree.
 * @param options.overwrite put it in the place of another one
 * @throws {CdhError} the CDH_STORE family
 */
export async function putPacked(
  store: ObjectStore,
  file: PackedFile,
  options: Pick<PutOptions, "overwrite" | "signal" | "onProgress"> = {},
): Promise<PutOutcome> {
  const key = debugFileKey(file.id);
  const metadata = {
    [META.sha256]: file.sha256,
    [META.sizeBytes]: String(file.sizeBytes),
    [META.code]: String(file.hasCode),
    [META.name]: file.name.slice(0, NAME_MAX),
    ...(file.sharedBuildId === undefined ? {} : { [META.shared]: file.sharedBuildId }),
  };
  try {
    const { alreadyThere } = await store.putFile(
      key,
      { path: file.path, sizeBytes: file.storedBytes },
      { ...options, contentType: "application/zstd", metadata },
    );
    return alreadyThere ? "alreadyThere" : "stored";
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_CONFLICT") throw error;
    // The same file, packed by another version, is no conflict.
    const there = await store.head(key, options.signal);
    if (there === undefined) throw error;
    return factsOfStored(there).sha256 === file.sha256 ? "alreadyThere" : "other";
  }
}

/**
 * Put a file into the store, unless a file of its build-id is there: then nothing is packed and nothing is sent.
 * @param options.draft path for the packed file, which is gone afterwards
 * @throws {CdhError} CDH_DISK, the CDH_STORE family
 */
export async function putFile(
  store: ObjectStore,
  file: Pick<PackedFile, "id" | "name" | "sharedBuildId" | "hasCode"> & { source: FileBytes },
  options: Pick<PutOptions, "overwrite" | "onProgress" | "signal"> & { draft: string },
): Promise<PutOutcome> {
  const { draft, ...put } = options;
  const { source, ...facts } = file;
  const there = await store.head(debugFileKey(file.id), put.signal);
  if (there !== undefined) {
    const isSame = factsOfStored(there).sha256 === (await hashBytes(source, put.signal));
    if (isSame) return "alreadyThere";
    if (put.overwrite !== true) return "other";
  }
  try {
    const packed = await packFile(source, draft, put.signal);
    return await putPacked(store, { ...packed, ...facts, path: draft }, put);
  } finally {
    await rm(draft, { force: true });
  }
}
