import { cutShort, type RandomAccessSource } from "./random-access.ts";

/** How many blocks of small reads are kept. */
const BLOCKS_KEPT = 4;

interface Block {
  offset: number;
  bytes: Promise<Buffer>;
  lengthBytes: number;
}

/**
 * Serve small reads from a few blocks, the first of them the source's end. A zip is read in hundreds of tiny steps;
 * over a network each would be a request.
 * @param sizes.tailBytes what one read takes from the end of the source
 * @param sizes.blockBytes what one small read elsewhere takes; longer reads go past the cache
 */
export function cacheReads(
  source: RandomAccessSource,
  sizes: { tailBytes: number; blockBytes: number },
): RandomAccessSource {
  const tailStart = Math.max(0, source.sizeBytes - sizes.tailBytes);
  let blocks: Block[] = [];

  const load = (offset: number, lengthBytes: number, signal?: AbortSignal): Block => {
    const block: Block = { offset, lengthBytes, bytes: source.read(offset, lengthBytes, signal) };
    blocks = [block, ...blocks].slice(0, BLOCKS_KEPT);
    // A failed read must not be kept: the next try may succeed.
    block.bytes.catch(() => {
      blocks = blocks.filter((kept) => kept !== block);
    });
    return block;
  };

  return {
    label: source.label,
    sizeBytes: source.sizeBytes,
    traffic: source.traffic,
    close: () => source.close(),
    read: async (offset, length, signal) => {
      const end = offset + length;
      if (offset < 0 || !Number.isSafeInteger(end) || end > source.sizeBytes) {
        throw cutShort(source.label, source.sizeBytes, end - source.sizeBytes);
      }
      const kept = blocks.find((block) => offset >= block.offset && end <= block.offset + block.lengthBytes);
      if (kept !== undefined) return slice(kept, offset, length);
      if (offset >= tailStart) return slice(load(tailStart, source.sizeBytes - tailStart, signal), offset, length);
      if (length > sizes.blockBytes / 2) return source.read(offset, length, signal);
      return slice(load(offset, Math.min(sizes.blockBytes, source.sizeBytes - offset), signal), offset, length);
    },
  };
}

async function slice(block: Block, offset: number, length: number): Promise<Buffer> {
  const bytes = await block.bytes;
  return Buffer.from(bytes.subarray(offset - block.offset, offset - block.offset + length));
}
