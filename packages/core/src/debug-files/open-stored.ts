import { createHash } from "node:crypto";
import { open as openFile } from "node:fs/promises";
import { CdhError } from "../base/errors.ts";
import type { CoreReader } from "../bundle/core-layout.ts";
import { framedCore } from "../bundle/core-reader-frames.ts";
import { storeSource } from "../bundle/reader-source.ts";
import type { ObjectInfo, ObjectStore } from "../store/store.ts";
import { debugFileKey, type DebugFileId } from "./keys.ts";
import { factsOfStored, type StoredFacts } from "./put.ts";

/** A file in the store, readable anywhere without being fetched whole. */
export interface StoredFile {
  /** URL, for messages. */
  label: string;
  sizeBytes: number;
  /** As of {@link FoundFile}. */
  version: string;
  /** Epoch milliseconds. */
  storedAt: number;
  facts: StoredFacts;
  reader: CoreReader;
}

/** A file that the store has, of which nothing was read. */
export interface FoundFile {
  /** Another text for another content: the SHA-256 of the file that was pushed, else what the store tells contents apart by. */
  version: string;
  /** @throws {CdhError} CDH_DAMAGED when it is no packed file, or not the size it says; the CDH_STORE and CDH_BUNDLE families */
  open(): Promise<StoredFile>;
}

/** Say where a file is, and how it is asked for. */
export interface FindOptions {
  /** As of {@link debugFileKey}. */
  base?: string;
  signal?: AbortSignal;
}

/**
 * Look for a file of the store by one question; undefined when the store has none of this build-id and role.
 * @throws {CdhError} the CDH_STORE family
 */
export async function findStoredFile(
  store: ObjectStore,
  id: DebugFileId,
  { base = "", signal }: FindOptions = {},
): Promise<FoundFile | undefined> {
  const key = debugFileKey(id, base);
  const info = await store.head(key, signal);
  if (info === undefined) return undefined;
  const { sizeBytes, modifiedAt, etag } = info;
  const version = factsOfStored(info).sha256 ?? etag ?? `${sizeBytes}-${Math.round(modifiedAt)}`;
  return { version, open: () => open(store, id, { info, version, ...(signal === undefined ? {} : { signal }) }) };
}

/**
 * Open a file of the store; undefined when the store has none of this build-id and role.
 * @throws {CdhError} as {@link FoundFile.open}
 */
export async function openStoredFile(
  store: ObjectStore,
  id: DebugFileId,
  options: FindOptions = {},
): Promise<StoredFile | undefined> {
  return (await findStoredFile(store, id, options))?.open();
}

async function open(
  store: ObjectStore,
  id: DebugFileId,
  { info, version, signal }: { info: ObjectInfo; version: string; signal?: AbortSignal },
): Promise<StoredFile> {
  const { key, sizeBytes: storedBytes, modifiedAt: storedAt } = info;
  const source = await storeSource(store, key, { sizeBytes: storedBytes, ...(signal === undefined ? {} : { signal }) });
  const { label } = source;
  const reader = await framedCore({
    name: id.role,
    label,
    sizeBytes: storedBytes,
    read: (offset, length, readSignal) => source.read(offset, length, readSignal),
  });
  const { sizeBytes } = reader;
  const facts = factsOfStored(info);
  // Without its table it would have to be read to its end to know what it is.
  if (reader.layout !== "frames" || sizeBytes === undefined)
    throw new CdhError("CDH_DAMAGED", `${label} is no file that cdh-inspect symbols push or cdh-upload stored`);
  if (facts.sizeBytes !== undefined && facts.sizeBytes !== sizeBytes)
    throw new CdhError("CDH_DAMAGED", `${label} holds ${sizeBytes} bytes, ${facts.sizeBytes} were pushed`);
  return { label, sizeBytes, version, storedAt, facts, reader };
}

/**
 * Write a stored file's content to a new file, and check that it is what was pushed.
 * @param path not there yet; what is left of it after an error is the caller's to remove
 * @throws {CdhError} CDH_DAMAGED when it is not; the CDH_STORE and CDH_BUNDLE families
 */
export async function unpackStoredFile(stored: StoredFile, path: string, signal?: AbortSignal): Promise<void> {
  const hash = createHash("sha256");
  const file = await openFile(path, "wx", 0o600);
  try {
    for await (const { offset, bytes } of stored.reader.chunks(signal === undefined ? {} : { signal })) {
      hash.update(bytes);
      for (let done = 0; done < bytes.length;)
        done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    }
  } finally {
    await file.close();
  }
  const { sha256 } = stored.facts;
  if (sha256 !== undefined && hash.digest("hex") !== sha256)
    throw new CdhError("CDH_DAMAGED", `${stored.label} is not what was pushed: its SHA-256 is another one`);
}
