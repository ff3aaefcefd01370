import type { Compression } from "../bundle/manifest.ts";
import type { SmallEntry } from "../bundle/writer.ts";

/** What stands before the core's bytes in a bundle that a composer began. */
export interface SalvagedHead {
  dumpInfo: SmallEntry;
  core: { name: string; method: "stored" | "deflate"; compression: Compression };
  /** Where the core's bytes begin. */
  coreOffset: number;
}

/** Read the name that a head is laid out for, or undefined when that can't be told. */
export function tryReadHeadName(bytes: Buffer): string | undefined {
  const first = readLocalHeader(bytes, 0);
  return typeof first === "object" ? /^(.+)-dump-info\.json$/s.exec(first.name)?.[1] : undefined;
}

/** More than a head ever takes: two names of at most 255 bytes and a dump info of short texts. */
export const HEAD_MAX_BYTES = 256 * 1024;

const LOCAL_HEADER = Buffer.of(0x50, 0x4b, 0x03, 0x04);
const LOCAL_HEADER_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;
/** Sizes follow the data. @see APPNOTE.TXT 4.4.4, bit 3 */
const HAS_DESCRIPTOR = 0x08;

/**
 * Read the head of the bundle `name`: the dump info, whole, then the local header of the core's entry.
 * @returns `"torn"` when the bytes end before the head does, undefined when no composer laid it out like this
 */
export function tryReadHead(bytes: Buffer, name: string): SalvagedHead | "torn" | undefined {
  const first = readLocalHeader(bytes, 0);
  if (first === undefined || first === "torn") return first;
  if (first.name !== `${name}-dump-info.json` || first.method !== STORED || first.hasDescriptor) return undefined;
  const dumpInfoEnd = first.dataOffset + first.storedBytes;
  if (dumpInfoEnd > bytes.length) return "torn";
  const second = readLocalHeader(bytes, dumpInfoEnd);
  if (second === undefined || second === "torn") return second;
  if (!second.hasDescriptor) return undefined;
  const core = coreEntryOf(second.name, second.method, name);
  if (core === undefined) return undefined;
  const dumpInfo = { name: first.name, bytes: Buffer.from(bytes.subarray(first.dataOffset, dumpInfoEnd)) };
  return { dumpInfo, core, coreOffset: second.dataOffset };
}

function coreEntryOf(entry: string, method: number, name: string): SalvagedHead["core"] | undefined {
  if (entry === `${name}.core.zst` && method === STORED) return { name: entry, method: "stored", compression: "zstd" };
  if (entry !== `${name}.core`) return undefined;
  if (method === STORED) return { name: entry, method: "stored", compression: "none" };
  return method === DEFLATED ? { name: entry, method: "deflate", compression: "deflate" } : undefined;
}

interface LocalHeader {
  name: string;
  method: number;
  hasDescriptor: boolean;
  storedBytes: number;
  dataOffset: number;
}

/** @see APPNOTE.TXT 4.3.7 */
function readLocalHeader(bytes: Buffer, at: number): LocalHeader | "torn" | undefined {
  const start = bytes.subarray(at, at + LOCAL_HEADER.length);
  if (!LOCAL_HEADER.subarray(0, start.length).equals(start)) return undefined;
  if (at + LOCAL_HEADER_BYTES > bytes.length) return "torn";
  const nameEnd = at + LOCAL_HEADER_BYTES + bytes.readUInt16LE(at + 26);
  const dataOffset = nameEnd + bytes.readUInt16LE(at + 28);
  if (dataOffset > bytes.length) return "torn";
  return {
    name: bytes.toString("utf8", at + LOCAL_HEADER_BYTES, nameEnd),
    method: bytes.readUInt16LE(at + 8),
    hasDescriptor: (bytes.readUInt16LE(at + 6) & HAS_DESCRIPTOR) !== 0,
    storedBytes: bytes.readUInt32LE(at + 18),
    dataOffset,
  };
}
