import { randomBytes } from "node:crypto";
import type { ObjectStore } from "@cdh/core/store/store";
import { NoSegment, SEGMENT_BYTES_MAX } from "./segment.ts";

/** Where segments of the index lie, by the version of their format. No namespace begins with an underscore. */
export const SEGMENTS_FOLDER = "_index/v1/";
const SUFFIX = ".segment";
/** Twelve digits that order segments, and twelve that nobody else chooses. */
const NAME = /^\d{12}-[0-9a-f]{12}$/;
/** More than ten million dumps have. Of further ones the newest count. */
const SEGMENTS_MAX = 2000;

/** A segment as the folder shows it. */
export interface StoredSegment {
  name: string;
  sizeBytes: number;
}

/** The folder of segments in a store. */
export class SegmentFolder {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** List the segments, the newest first. @throws {CdhError} the CDH_STORE family */
  async list(signal: AbortSignal): Promise<StoredSegment[]> {
    let segments: StoredSegment[] = [];
    for await (const { key, sizeBytes } of this.#store.list(SEGMENTS_FOLDER, { signal })) {
      const name = key.slice(SEGMENTS_FOLDER.length, -SUFFIX.length);
      if (key.endsWith(SUFFIX) && NAME.test(name) && Number(name.slice(0, 12)) <= NUMBER_MAX)
        segments.push({ name, sizeBytes });
      // In the order of keys the newest come last.
      if (segments.length === 2 * SEGMENTS_MAX) segments = segments.slice(SEGMENTS_MAX);
    }
    return segments.slice(-SEGMENTS_MAX).reverse();
  }

  /**
   * Read a segment; undefined when it is gone.
   * @throws {NoSegment} when it is larger than any
   * @throws {CdhError} the CDH_STORE family
   */
  async read({ name, sizeBytes }: StoredSegment, signal: AbortSignal): Promise<Buffer | undefined> {
    if (sizeBytes > SEGMENT_BYTES_MAX) throw new NoSegment("it is larger than any");
    const body = await this.#store.get(keyOf(name), { offset: 0, length: SEGMENT_BYTES_MAX }, signal);
    if (body === undefined) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Store a segment. @throws {CdhError} the CDH_STORE family */
  async write(name: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
    await this.#store.putBytes(keyOf(name), bytes, { contentType: "application/octet-stream", signal });
  }

  /** @throws {CdhError} the CDH_STORE family */
  async remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#store.delete(keyOf(name), signal);
  }
}

/** Numbers that no writer gets to: one that somebody made up would leave none after it. */
const NUMBER_MAX = 900_000_000_000;

/** Name the segment that follows others. */
export function nameAfter(names: Iterable<string>): string {
  let last = 0;
  for (const name of names) last = Math.max(last, Number(name.slice(0, 12)));
  return `${String(last + 1).padStart(12, "0")}-${randomBytes(6).toString("hex")}`;
}

function keyOf(name: string): string {
  return `${SEGMENTS_FOLDER}${name}${SUFFIX}`;
}
