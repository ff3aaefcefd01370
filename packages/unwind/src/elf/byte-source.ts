/** Bytes that can be read anywhere: a file, a stretch of a process's memory, a section in memory. Offsets and sizes in bytes. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Read up to `length` bytes at an offset; fewer only at the end. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Read bytes that are in memory. */
export class MemorySource implements ByteSource {
  readonly sizeBytes: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.sizeBytes = bytes.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(Math.max(0, offset), Math.max(0, offset + length));
  }
}

const BLOCK_BYTES = 64 * 1024;
/** Blocks kept for each source. */
const BLOCKS_MAX = 64;

/** Keep the blocks that were read last: searches in tables read a few bytes again and again. */
export class CachedSource implements ByteSource {
  readonly sizeBytes: number;
  readonly #source: ByteSource;
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(source: ByteSource) {
    this.#source = source;
    this.sizeBytes = source.sizeBytes;
  }

  read(offset: number, length: number): Uint8Array | Promise<Uint8Array> {
    if (!Number.isSafeInteger(offset) || offset < 0 || length <= 0) return new Uint8Array();
    const end = Math.min(offset + length, this.sizeBytes);
    if (end <= offset) return new Uint8Array();
    const first = Math.floor(offset / BLOCK_BYTES);
    if (Math.floor((end - 1) / BLOCK_BYTES) !== first) return this.#source.read(offset, end - offset);
    const cut = (block: Uint8Array): Uint8Array =>
      block.subarray(offset - first * BLOCK_BYTES, end - first * BLOCK_BYTES);
    const known = this.#blocks.get(first);
    if (known !== undefined) return cut(known);
    const read = this.#source.read(first * BLOCK_BYTES, BLOCK_BYTES);
    const keep = (block: Uint8Array): Uint8Array => {
      const oldest = this.#blocks.keys().next();
      if (this.#blocks.size >= BLOCKS_MAX && oldest.done !== true) this.#blocks.delete(oldest.value);
      this.#blocks.set(first, block);
      return cut(block);
    };
    return read instanceof Uint8Array ? keep(read) : read.then(keep);
  }
}
