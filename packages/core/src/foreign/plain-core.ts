import { basename } from "node:path";
import type { CoreReader } from "../bundle/core-layout.ts";
import { framedCore } from "../bundle/core-reader-frames.ts";
import { sequentialCore, storedCore, type StoredBytes } from "../bundle/core-reader-plain.ts";
import type { Manifest } from "../bundle/manifest.ts";
import type { RandomAccessSource } from "../bundle/reader-source.ts";
import { manifestOf } from "../crash/manifest-of.ts";
import { decodeCore, encodingOf, unreadable, type FileKind } from "./core-encoding.ts";
import { parseCoreName } from "./core-name.ts";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Open a core that is a file by itself: plain, or compressed by gzip, zstd or lz4.
 * @throws {CdhError} CDH_BUNDLE_METHOD for xz; CDH_BUNDLE_SEEK_TABLE
 */
export async function openPlainCore(source: RandomAccessSource, kind: FileKind): Promise<CoreReader> {
  const stored: StoredBytes = {
    name: basename(source.label),
    label: source.label,
    sizeBytes: source.sizeBytes,
    read: (offset, length, signal) => source.read(offset, length, signal),
  };
  const encoding = encodingOf(kind);
  if (encoding === "zstd") return framedCore(stored);
  if (encoding === "plain") return storedCore(stored);
  if (encoding === "xz") throw unreadable(stored.label);
  return sequentialCore({
    layout: encoding,
    name: stored.name,
    storedBytes: stored.sizeBytes,
    open: (signal, onStoredBytes) => decodeCore(encoding, readAll(stored, signal, onStoredBytes), stored.label),
  });
}

/**
 * Make the manifest of a core that is a file by itself, from its name; the core's own facts are added later.
 * @param modifiedAt epoch milliseconds: the crash's time where the name has none
 */
export function describePlainCore(
  fileName: string,
  core: Pick<CoreReader, "layout" | "sizeBytes" | "storedBytes">,
  modifiedAt?: number,
): Manifest {
  const { comm, hostname, uid, bootId, pid, signal, crashedAt } = parseCoreName(fileName);
  return manifestOf({
    crashId: "",
    bundle: fileName,
    crashedAtMs: crashedAt ?? modifiedAt,
    composer: { version: "" },
    node: { bootId },
    process: { pid, uid, comm, hostname },
    signal,
    core: {
      entry: fileName,
      compression: core.layout === "stored" ? "none" : "zstd",
      sizeBytes: core.sizeBytes ?? 0,
      storedBytes: core.storedBytes,
    },
    problems: [],
  });
}

async function* readAll(
  stored: StoredBytes,
  signal?: AbortSignal,
  onStoredBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < stored.sizeBytes; offset += CHUNK_BYTES) {
    signal?.throwIfAborted();
    const bytes = await stored.read(offset, Math.min(CHUNK_BYTES, stored.sizeBytes - offset), signal);
    onStoredBytes?.(bytes);
    yield bytes;
  }
}
