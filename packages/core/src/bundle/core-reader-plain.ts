import { CdhError } from "../base/errors.ts";
import type { CoreChunk, CoreLayout, CoreReader } from "./core-layout.ts";
import { free } from "./free-buffer.ts";

/** Bytes of a core as they are kept, readable at any offset. */
export interface StoredBytes {
  name: string;
  /** Path or URL of what they are in. */
  label: string;
  sizeBytes: number;
  read(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
}

const CHUNK_BYTES = 1024 * 1024;
/** The start of a stream is kept: headers and notes lie there, and every question starts with them. */
const HEAD_BYTES = 4 * 1024 * 1024;

/** Read a core that lies as it is. */
export function storedCore(stored: StoredBytes): CoreReader {
  return {
    layout: "stored",
    name: stored.name,
    sizeBytes: stored.sizeBytes,
    storedBytes: stored.sizeBytes,
    read: async (offset, length, signal) => {
      const wanted = clamp(offset, length, stored.sizeBytes);
      return wanted === 0 ? Buffer.alloc(0) : stored.read(offset, wanted, signal);
    },
    chunks: async function* ({ from = 0, signal, onStoredBytes } = {}) {
      for (let offset = from; offset < stored.sizeBytes; offset += CHUNK_BYTES) {
        signal?.throwIfAborted();
        const bytes = await stored.read(offset, Math.min(CHUNK_BYTES, stored.sizeBytes - offset), signal);
        onStoredBytes?.(bytes);
        yield { offset, bytes };
        free(bytes);
      }
    },
  };
}

/** Describe a core that only decompresses from its start. */
export interface SequentialSource {
  layout: CoreLayout;
  name: string;
  storedBytes: number;
  sizeBytes?: number;
  /** What it may become at most; more is refused as soon as it is there. */
  maxBytes?: number | undefined;
  open(signal?: AbortSignal, onStoredBytes?: (bytes: Uint8Array) => void): AsyncIterable<Buffer>;
}

/**
 * Read a core that is one compressed stream. A read behind the last one goes on from there, a read before it starts
 * again, so callers that go forward pay once.
 */
export function sequentialCore(source: SequentialSource): CoreReader {
  let cursor: Cursor | undefined;
  let head: Buffer = Buffer.alloc(0);
  let sizeBytes = source.sizeBytes;
  let queue: Promise<unknown> = Promise.resolve();

  const readOnce = async (offset: number, length: number, signal?: AbortSignal): Promise<Buffer> => {
    if (offset + length <= head.length) return head.subarray(offset, offset + length);
    if (cursor === undefined || cursor.offset > offset) {
      await cursor?.close();
      cursor = new Cursor(bounded(source, source.open(signal)));
    }
    const bytes = await cursor.read(offset, length, (chunkOffset, chunk) => {
      if (chunkOffset === head.length && head.length < HEAD_BYTES) head = Buffer.concat([head, chunk]);
    });
    if (bytes.length < length) sizeBytes ??= offset + bytes.length;
    return bytes;
  };

  return {
    layout: source.layout,
    name: source.name,
    get sizeBytes() {
      return sizeBytes;
    },
    storedBytes: source.storedBytes,
    read: (offset, length, signal) => {
      const result = queue.then(() => readOnce(offset, length, signal));
      queue = result.catch(() => {});
      return result;
    },
    chunks: async function* ({ from = 0, signal, onStoredBytes } = {}): AsyncGenerator<CoreChunk> {
      let offset = 0;
      for await (const bytes of bounded(source, source.open(signal, onStoredBytes))) {
        signal?.throwIfAborted();
        const end = offset + bytes.length;
        if (end > from)
          yield offset >= from ? { offset, bytes } : { offset: from, bytes: bytes.subarray(from - offset) };
        offset = end;
      }
      sizeBytes ??= offset;
    },
  };
}

/** @throws {CdhError} CDH_BUNDLE_SIZE once it is longer than it may be */
async function* bounded({ name, maxBytes }: SequentialSource, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let sizeBytes = 0;
  for await (const piece of pieces) {
    sizeBytes += piece.length;
    if (maxBytes !== undefined && sizeBytes > maxBytes) {
      throw new CdhError(
        "CDH_BUNDLE_SIZE",
        `cannot trust ${JSON.stringify(name)}: it becomes more than the ${maxBytes} bytes that the manifest says`,
      );
    }
    yield piece;
  }
}

/** How much of a wanted range lies inside. */
export function clamp(offset: number, length: number, sizeBytes: number): number {
  return Math.max(0, Math.min(length, sizeBytes - offset));
}

class Cursor {
  offset = 0;
  readonly #iterator: AsyncIterator<Buffer>;
  #pending: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#iterator = stream[Symbol.asyncIterator]();
  }

  async read(offset: number, length: number, seen: (offset: number, chunk: Buffer) => void): Promise<Buffer> {
    const parts: Buffer[] = [];
    let wanted = length;
    while (wanted > 0) {
      if (this.#pending.length === 0) {
        const next = await this.#iterator.next();
        if (next.done === true) break;
        this.#pending = next.value;
        seen(this.offset, this.#pending);
      }
      const skip = Math.min(this.#pending.length, Math.max(0, offset - this.offset));
      const part = this.#pending.subarray(skip, skip + wanted);
      if (part.length > 0) parts.push(part);
      wanted -= part.length;
      this.offset += skip + part.length;
      this.#pending = this.#pending.subarray(skip + part.length);
    }
    return Buffer.concat(parts);
  }

  async close(): Promise<void> {
    await this.#iterator.return?.(undefined);
  }
}
