import { createHash, randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { formatDumpInfo, type DumpInfo } from "../bundle/dump-info.ts";
import { makeFrameCompressor } from "../bundle/frame-compressor.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { layOutBundle, type CoreLayout } from "../bundle/writer.ts";
import { encodeSeekTable, type FrameSize } from "../bundle/zstd-frames.ts";
import { ElfCoreScanner } from "../elf/scanner.ts";
import { CdhError } from "../errors.ts";
import { HEAD_MAX_BYTES, tryReadHead, tryReadHeadName, type SalvagedHead } from "./salvage-head.ts";
import { describeSalvaged, withNote } from "./salvage-manifest.ts";
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
  const scanner = new ElfCoreScanner();
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
  const salvaged = describeSalvaged({
    name: facts.name,
    crashId: uuidIn(dumpInfo.uuid) ?? uuidIn(facts.name) ?? randomUUID(),
    crashedAtMs,
    dumpInfo,
    facts: scanner.finish(),
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
  const manifest = facts.note?.crashId === salvaged.crashId ? withNote(salvaged, facts.note) : salvaged;
  const layout: CoreLayout = {
    name: core.name,
    method: core.method,
    crc32: compressor.crcOf === "core" ? sum : crc32(trailer, sum),
    storedBytes,
    sizeBytes,
  };
  const { head: asLaidOut, tail } = await layOutBundle(new Date(crashedAtMs), head.dumpInfo, layout, [
    { name: `${facts.name}-manifest.json`, bytes: Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`) },
  ]);
  // The central directory points into the head by its length.
  if (asLaidOut.length !== head.coreOffset)
    throw new CdhError("CDH_DAMAGED", `cannot salvage ${facts.name}: its head is not a composer's`);
  const bodyEnd = head.coreOffset + bodyBytes;
  await handle.truncate(bodyEnd);
  await writeAll(handle, Buffer.concat([trailer, tail]), bodyEnd);
  // Last, and in one write: until then the file is a torn one of its former name.
  if (head.formerName !== undefined) await writeAll(handle, asLaidOut, 0);
  await handle.sync();
  return manifest;
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
    dump_file: `${facts.name}.core`,
    timestamp: String(Math.floor(facts.modifiedAt / 1000)),
    hostname: "",
    exe: "",
    real_pid: "",
    signal: "",
    node_hostname: "",
    path: "",
  });
  const dumpInfo = { name: `${facts.name}-dump-info.json`, bytes: Buffer.from(text) };
  const layout = { ...core, crc32: 0, storedBytes: 0, sizeBytes: 0 };
  const { head } = await layOutBundle(new Date(facts.modifiedAt), dumpInfo, layout, []);
  await handle.truncate(0);
  await writeAll(handle, head, 0);
  return { dumpInfo, core, coreOffset: head.length };
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
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function timeOf(seconds: unknown): number | undefined {
  return typeof seconds === "string" && /^\d{1,11}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}

function uuidIn(text: unknown): string | undefined {
  if (typeof text !== "string") return undefined;
  return /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i.exec(text)?.[0];
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await handle.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
  }
}
