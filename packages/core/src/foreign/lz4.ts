import { CdhError } from "../base/errors.ts";

/** @see the lz4 repository, doc/lz4_Frame_format.md and doc/lz4_Block_format.md */
const MAGIC = 0x184d2204;
/** A block may refer back this far. */
const WINDOW_BYTES = 64 * 1024;
const BLOCK_MAX_BYTES = 4 * 1024 * 1024;

/**
 * Decompress LZ4 frames. Checksums are skipped: whoever needs certainty compares the whole.
 * @throws {CdhError} CDH_BUNDLE_DATA, CDH_BUNDLE_CUT_SHORT
 */
export async function* decompressLz4(input: AsyncIterable<Buffer>, label: string): AsyncGenerator<Buffer> {
  const bytes = new ByteQueue(input, label);
  while (!(await bytes.atEnd())) {
    const magic = (await bytes.take(4)).readUInt32LE(0);
    if (magic >>> 4 === 0x184d2a5) {
      await bytes.skip((await bytes.take(4)).readUInt32LE(0));
    } else if (magic === MAGIC) {
      yield* decompressFrame(bytes, label);
    } else {
      throw dataError(label, "not an LZ4 frame");
    }
  }
}

async function* decompressFrame(bytes: ByteQueue, label: string): AsyncGenerator<Buffer> {
  const flags = (await bytes.take(2)).readUInt8(0);
  if (flags >>> 6 !== 1) throw dataError(label, "an unknown version of the LZ4 frame format");
  const isLinked = (flags & 0x20) === 0;
  const hasBlockChecksum = (flags & 0x10) !== 0;
  await bytes.skip(((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4) + 1);
  let window: Buffer = Buffer.alloc(0);
  for (;;) {
    const header = (await bytes.take(4)).readUInt32LE(0);
    if (header === 0) break;
    const length = header & 0x7fffffff;
    if (length > BLOCK_MAX_BYTES) throw dataError(label, "a block larger than the format allows");
    const data = await bytes.take(length);
    if (hasBlockChecksum) await bytes.skip(4);
    const block =
      header >>> 31 === 1 ? Buffer.from(data) : decompressBlock(data, isLinked ? window : Buffer.alloc(0), label);
    yield block;
    window = Buffer.concat([window, block]).subarray(-WINDOW_BYTES);
  }
  if ((flags & 0x04) !== 0) await bytes.skip(4);
}

/** Decode one block: runs of literal bytes, each followed by a copy of what stands `offset` bytes before. */
function decompressBlock(input: Buffer, window: Buffer, label: string): Buffer {
  const output = Buffer.allocUnsafe(window.length + BLOCK_MAX_BYTES);
  window.copy(output, 0);
  let from = 0;
  let to = window.length;
  const readLength = (start: number): number => {
    let length = start;
    if (start !== 15) return length;
    for (;;) {
      const more = input[from];
      from += 1;
      if (more === undefined) throw dataError(label, "a block ends within a length");
      length += more;
      if (more !== 255) return length;
    }
  };
  while (from < input.length) {
    const token = input[from] ?? 0;
    from += 1;
    const literals = readLength(token >>> 4);
    if (from + literals > input.length || to + literals > output.length)
      throw dataError(label, "literals run past a block's end");
    input.copy(output, to, from, from + literals);
    from += literals;
    to += literals;
    if (from >= input.length) break;
    const offset = (input[from] ?? 0) | ((input[from + 1] ?? 0) << 8);
    from += 2;
    const length = readLength(token & 0xf) + 4;
    if (offset === 0 || offset > to || to + length > output.length)
      throw dataError(label, "a copy from outside the window");
    if (offset >= length) output.copyWithin(to, to - offset, to - offset + length);
    else for (let index = 0; index < length; index += 1) output[to + index] = output[to + index - offset] ?? 0;
    to += length;
  }
  return output.subarray(window.length, to);
}

/** Take exact counts of bytes from chunks of any size. */
class ByteQueue {
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #label: string;
  #pending: Buffer = Buffer.alloc(0);

  constructor(input: AsyncIterable<Buffer>, label: string) {
    this.#iterator = input[Symbol.asyncIterator]();
    this.#label = label;
  }

  async atEnd(): Promise<boolean> {
    return !(await this.#fill(1));
  }

  async take(length: number): Promise<Buffer> {
    if (!(await this.#fill(length))) {
      throw new CdhError("CDH_BUNDLE_CUT_SHORT", `cannot decompress ${this.#label}: it ends within an LZ4 block`);
    }
    const taken = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const step = Math.min(left, BLOCK_MAX_BYTES);
      await this.take(step);
      left -= step;
    }
  }

  async #fill(length: number): Promise<boolean> {
    const parts = [this.#pending];
    let filled = this.#pending.length;
    while (filled < length) {
      const next = await this.#iterator.next();
      if (next.done === true) break;
      parts.push(next.value);
      filled += next.value.length;
    }
    if (parts.length > 1) this.#pending = Buffer.concat(parts);
    return filled >= length;
  }
}

function dataError(label: string, why: string): CdhError {
  return new CdhError("CDH_BUNDLE_DATA", `cannot decompress ${label}: ${why}`);
}
