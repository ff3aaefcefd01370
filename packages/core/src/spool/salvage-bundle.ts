import { createHash, randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { CdhError } from "../base/errors.ts";
import { tryParseJson } from "../base/json.ts";
import { BundleFile, placeInFile } from "../bundle/bundle-file.ts";
import { formatDumpInfo, type DumpInfo } from "../bundle/dump-info.ts";
import { encodeManifest } from "../bundle/encode-manifest.ts";
import { makeFrameCompressor } from "../bundle/frame-compressor.ts";
import type { Compression, Manifest } from "../bundle/manifest.ts";
import { encodeSeekTable, type FrameSize } from "../bundle/zstd-frames.ts";
import { findAbortMessageInCore } from "../crash/abort-message.ts";
import { MANIFEST_ELF_LIMITS } from "../elf/facts.ts";
import { ElfCoreScanner } from "../elf/scanner.ts";
import { HEAD_MAX_BYTES, tryReadHead, tryReadHeadName, type SalvagedHead } from "./salvage-head.ts";
import { describeSalvaged, numberOf, withNote } from "./salvage-manifest.ts";
import { salvagePieces } from "./salvage-pieces.ts";
import { differInIdOnly } from "./salvage-twin.ts";
import { SalvageWindow } from "./salvage-window.ts";

/** What is known besides the torn file. */
export interface SalvageFacts {
  /** `N`. */
  name: string;
  /** Whether its head may still be laid out for the name that it had before, another crash's. */
  mayBeRenamed?: boolean;
  /** When the file was last written, epoch milliseconds: the crash's time where the dump info has none. */
  modifiedAt: number;
  version: string;
  withMessage?: boolean;
  /** What the composer knew when it died. */
  note?: Manifest | undefined;
  signal?: AbortSignal | undefined;
}

const DIED = "the composer died before it had finished; the core is kept as far as it is whole";

/**
 * End a torn bundle where it lies: find what is whole, cut the rest off, write what ends a bundle. Nothing is copied,
 * so a full disk only costs pieces from the core's end, and doing it twice gives the same.
 * @throws {CdhError} CDH_DAMAGED when the file is not laid out as composers do
 */
export async function salvageBundle(handle: FileHandle, facts: SalvageFacts): Promise<Manifest> {
  const { size } = await handle.stat();
  const window = new SalvageWindow(handle, size);
  const head = await readOrMakeHead(handle, size, facts);
  const { core } = head;
  const compressor = makeFrameCompressor(core.compression);
  const hash = createHash("sha256");
  const scanner = new ElfCoreScanner(MANIFEST_ELF_LIMITS);
  const frames: FrameSize[] = [];
  let [sizeBytes, bodyBytes, sum] = [0, 0, 0];
  for await (const piece of salvagePieces(window, head.coreOffset, core.compression)) {
    facts.signal?.throwIfAborted();
    hash.update(piece.core);
    scanner.push(piece.core);
    sum = crc32(compressor.crcOf === "core" ? piece.core : piece.stored, sum);
    frames.push({ storedBytes: piece.stored.length, coreBytes: piece.core.length });
    sizeBytes += piece.core.length;
    bodyBytes += piece.stored.length;
  }
  const trailer = core.compression === "zstd" ? encodeSeekTable(frames) : compressor.trailer;
  const storedBytes = bodyBytes + trailer.length;
  const dumpInfo = parseDumpInfo(head.dumpInfo.bytes);
  const crashedAtMs = timeOf(dumpInfo.timestamp) ?? facts.modifiedAt;
  const found = scanner.finish();
  const signal = numberOf(dumpInfo.signal) ?? found.signal?.number;
  const readCore = readerOf(window, head.coreOffset, core.compression, frames);
  const message = facts.withMessage === false ? undefined : await findAbortMessageInCore(found, signal, readCore);
  const salvaged = describeSalvaged({
    message,
    name: facts.name,
    crashId: uuidIn(dumpInfo.uuid) ?? uuidIn(facts.name) ?? randomUUID(),
    crashedAtMs,
    dumpInfo,
    facts: found,
    core: {
      entry: core.name,
      compression: core.compression,
      sizeBytes,
      storedBytes,
      sha256: hash.digest("hex"),
    },
    version: facts.version,
    detail: head.formerName === undefined ? DIED : `${DIED}; another bundle was published as ${head.formerName}`,
  });
  const { manifest, bytes } = encodeManifest(
    facts.note?.crashId === salvaged.crashId ? withNote(salvaged, facts.note, dumpInfo) : salvaged,
  );
  const mtime = new Date(crashedAtMs);
  const bundle = await BundleFile.resume(placeInFile(handle), { mtime, dumpInfo: head.dumpInfo, core });
  // The central directory points into the head by its length.
  if (bundle.headBytes !== head.coreOffset)
    throw new CdhError("CDH_DAMAGED", `cannot salvage ${facts.name}: its head is not a composer's`);
  const sums = { crc32: compressor.crcOf === "core" ? sum : crc32(trailer, sum), storedBytes, sizeBytes };
  const entries = [{ name: `${facts.name}-manifest.json`, bytes }];
  await bundle.writeEnd(await bundle.layOutEnd({ bodyBytes, trailer, sums }, entries));
  // Last, and in one write: until then the file is a torn one of its former name.
  if (head.formerName !== undefined) await bundle.writeHead();
  await handle.sync();
  return manifest;
}

/** Reads bytes of the core by their offset, a piece of the entry at a time. */
function readerOf(
  window: SalvageWindow,
  coreOffset: number,
  compression: Compression,
  frames: readonly FrameSize[],
): (offset: number, length: number) => Promise<Buffer> {
  return async (offset, length) => {
    const parts: Buffer[] = [];
    let [stored, at] = [coreOffset, 0];
    for (const { storedBytes, coreBytes } of frames) {
      if (at >= offset + length) break;
      if (at + coreBytes > offset) {
        const { value } = await salvagePieces(window, stored, compression).next();
        if (value === undefined || value.core.length !== coreBytes) break;
        parts.push(Buffer.from(value.core.subarray(Math.max(0, offset - at), offset + length - at)));
      }
      stored += storedBytes;
      at += coreBytes;
    }
    return Buffer.concat(parts);
  };
}

/** A head, and the name that it was laid out for when that is not the bundle's any more. */
type FoundHead = SalvagedHead & { formerName?: string };

/** A composer that died before its head was written left no byte of core: a bundle that says so is all there is. */
async function readOrMakeHead(handle: FileHandle, size: number, facts: SalvageFacts): Promise<FoundHead> {
  const bytes = Buffer.alloc(Math.min(size, HEAD_MAX_BYTES));
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
  const start = bytes.subarray(0, bytesRead);
  const found =
    tryReadHead(start, facts.name) ?? (facts.mayBeRenamed === true ? tryRenameHead(start, facts.name) : undefined);
  if (typeof found === "object") return found;
  if (found === undefined || size >= HEAD_MAX_BYTES)
    throw new CdhError("CDH_DAMAGED", `cannot salvage ${facts.name}: its head is not a composer's`);
  const core = { name: `${facts.name}.core.zst`, method: "stored", compression: "zstd" } as const;
  const text = formatDumpInfo({
    uuid: uuidIn(facts.name) ?? randomUUID(),
    dump_file: core.name,
    timestamp: String(Math.floor(facts.modifiedAt / 1000)),
    hostname: "",
    exe: "",
    real_pid: "",
    signal: "",
    node_hostname: "",
    path: "",
  });
  const dumpInfo = { name: `${facts.name}-dump-info.json`, bytes: Buffer.from(text) };
  await handle.truncate(0);
  const { headBytes } = await BundleFile.begin(placeInFile(handle), {
    mtime: new Date(facts.modifiedAt),
    dumpInfo,
    core,
  });
  return { dumpInfo, core, coreOffset: headBytes };
}

/** Take a head that is laid out for the name that this bundle had before, and give everything in it the new one. */
function tryRenameHead(bytes: Buffer, name: string): FoundHead | "torn" | undefined {
  const formerName = tryReadHeadName(bytes);
  if (formerName === undefined || !differInIdOnly(formerName, name)) return undefined;
  const head = tryReadHead(bytes, formerName);
  if (typeof head !== "object") return head;
  const rename = (text: string): string => text.replaceAll(uuidIn(formerName) ?? formerName, uuidIn(name) ?? name);
  const { dumpInfo, core, coreOffset } = head;
  return {
    formerName,
    coreOffset,
    core: { ...core, name: rename(core.name) },
    // Byte for byte, whatever a composer wrote into it.
    dumpInfo: { name: rename(dumpInfo.name), bytes: Buffer.from(rename(asLatin1(dumpInfo.bytes)), "latin1") },
  };
}

function asLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function parseDumpInfo(bytes: Uint8Array): Partial<DumpInfo> {
  const value = tryParseJson(bytes);
  return typeof value === "object" && value !== null ? value : {};
}

function timeOf(seconds: unknown): number | undefined {
  return typeof seconds === "string" && /^\d{1,11}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}

function uuidIn(text: unknown): string | undefined {
  if (typeof text !== "string") return undefined;
  return /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i.exec(text)?.[0];
}
