import { promisify } from "node:util";
import { crc32, constants, zstdCompress, zstdDecompress } from "node:zlib";
import { isRecord } from "@cdh/core/base/records";
import type { JsonLimits } from "@cdh/core/json";
import { parseInThread } from "../manifests/thread.ts";
import { BLOCK_BYTES_MAX } from "./block-codec.ts";

/** Begins each segment; the last byte but one is the format's version. */
const MAGIC = Buffer.from("CDHIDX1\n");
/** Bytes of a segment; an honest one has a quarter. */
export const SEGMENT_BYTES_MAX = 48 * 1024 * 1024;
const HEAD_LIMITS = { bytes: 1024 * 1024, depth: 4, elements: 20_000 };
/** Bytes of what is gone, before it is compressed. */
export const PAST_LIMITS = { bytes: 24 * 1024 * 1024, depth: 6, elements: 600_000 };

const KINDS = { head: 1, block: 2, past: 3, end: 0xff } as const;
/** Kind, stored bytes, plain bytes. */
const SECTION_HEAD = 9;
const SECTIONS_MAX = 64;

/** What a segment says of itself. */
export interface SegmentHead {
  /** When the listing began that it comes from, epoch milliseconds. */
  listedAt: number;
  /** Names of the segments that it stands for: with it, they are not valid any more. */
  replaces: readonly string[];
}

/** A segment, taken apart; blocks and the past are still compressed. */
export interface Segment {
  head: SegmentHead;
  blocks: readonly Packed[];
  past: Packed | undefined;
}

/** A part of a segment, compressed. */
export interface Packed {
  bytes: Buffer;
  plainBytes: number;
}

/** Says why bytes are no segment. */
export class NoSegment extends Error {
  override readonly name = "NoSegment";
}

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Compress a part. */
export async function pack(plain: Buffer): Promise<Packed> {
  const bytes = await compress(plain, { params: { [constants.ZSTD_c_compressionLevel]: 3 } });
  return { bytes, plainBytes: plain.length };
}

/** Unpack a part. @throws {NoSegment} */
export async function unpack({ bytes, plainBytes }: Packed): Promise<Buffer> {
  let plain: Buffer;
  try {
    plain = await decompress(bytes, { maxOutputLength: Math.max(1, plainBytes) });
  } catch (error) {
    throw new NoSegment("a part of it cannot be unpacked", { cause: error });
  }
  if (plain.length !== plainBytes) throw new NoSegment("a part of it is shorter than it says");
  return plain;
}

/** Put a segment together. */
export async function joinSegment({ head, blocks, past }: Segment): Promise<Buffer> {
  const parts: Buffer[] = [MAGIC];
  const add = (kind: number, { bytes, plainBytes }: Packed): void => {
    const section = Buffer.alloc(SECTION_HEAD);
    section[0] = kind;
    section.writeUInt32LE(bytes.length, 1);
    section.writeUInt32LE(plainBytes, 5);
    parts.push(section, bytes);
  };
  add(KINDS.head, await pack(Buffer.from(JSON.stringify({ schemaVersion: 1, ...head }))));
  for (const block of blocks) add(KINDS.block, block);
  if (past !== undefined) add(KINDS.past, past);
  const end = Buffer.alloc(5);
  end[0] = KINDS.end;
  end.writeUInt32LE(
    parts.reduce((sum, part) => crc32(part, sum), 0),
    1,
  );
  return Buffer.concat([...parts, end]);
}

/**
 * Take a segment apart, checksum first: one that was cut off or changed is none.
 * @throws {NoSegment}
 */
export async function splitSegment(bytes: Buffer): Promise<Segment> {
  const end = bytes.length - 5;
  if (end < MAGIC.length || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw new NoSegment("it is none of this version");
  if (bytes[end] !== KINDS.end || bytes.readUInt32LE(end + 1) !== crc32(bytes.subarray(0, end))) {
    throw new NoSegment("its checksum is another one");
  }
  const blocks: Packed[] = [];
  let [head, past]: (Packed | undefined)[] = [];
  let at = MAGIC.length;
  for (let count = 0; at < end; count += 1) {
    if (count === SECTIONS_MAX || at + SECTION_HEAD > end)
      throw new NoSegment("its parts are not where they should be");
    const [kind, stored, plainBytes] = [bytes[at], bytes.readUInt32LE(at + 1), bytes.readUInt32LE(at + 5)];
    at += SECTION_HEAD;
    if (stored > end - at || plainBytes > BLOCK_BYTES_MAX) throw new NoSegment("a part of it is too large");
    const part = { bytes: bytes.subarray(at, at + stored), plainBytes };
    at += stored;
    if (kind === KINDS.block) blocks.push(part);
    else if (kind === KINDS.past) past = part;
    else if (kind === KINDS.head) head = part;
  }
  if (head === undefined || head.plainBytes > HEAD_LIMITS.bytes) throw new NoSegment("it has no head");
  return { head: await readHead(await unpack(head)), blocks, past };
}

async function readHead(json: Buffer): Promise<SegmentHead> {
  const value = await readJson(json, HEAD_LIMITS);
  const { schemaVersion, listedAt, replaces } = isRecord(value) ? value : {};
  if (schemaVersion !== 1 || typeof listedAt !== "number" || !Number.isFinite(listedAt) || !Array.isArray(replaces)) {
    throw new NoSegment("its head is not readable");
  }
  return { listedAt, replaces: replaces.filter((name): name is string => typeof name === "string") };
}

/** Parse JSON of a segment. @throws {NoSegment} */
export async function readJson(json: Buffer, limits: JsonLimits): Promise<unknown> {
  return await parseInThread("segment", json, "a segment", limits).catch((error: unknown) => {
    throw new NoSegment("a part of it is not readable", { cause: error });
  });
}
