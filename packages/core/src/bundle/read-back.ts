import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdDecompress, type ZstdOptions } from "node:zlib";
import type { EntryFrame } from "./core-entry.ts";
import type { CorePipeline } from "./core-pipeline.ts";
import { updateCrc32 } from "./frame-compressor.ts";
import { STORED_FRAME_MAX_BYTES, tryReadStoredFrame, type Checksum } from "./stored-frame.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

/** Where the entry of a core lies that was written before. */
export interface WrittenEntry {
  /** Fill the buffer with what stands at this offset of the entry. Rejects with the errno error of the file system. */
  read(into: Buffer, offset: number): Promise<void>;
  checksum: Checksum | undefined;
}

const unzstd: (bytes: Uint8Array, options: ZstdOptions) => Promise<Buffer> = promisify(zstdDecompress);

const ZEROS = Buffer.alloc(FRAME_BYTES);

/** Reads frames of an entry through memory of its own; what it gives is valid until the next. */
export class FrameReader {
  readonly #entry: WrittenEntry;
  readonly #stored = Buffer.allocUnsafeSlow(STORED_FRAME_MAX_BYTES);
  readonly #content = Buffer.allocUnsafeSlow(FRAME_BYTES);

  constructor(entry: WrittenEntry) {
    this.#entry = entry;
  }

  /** Read a frame as it is stored. */
  async stored({ offset, storedBytes }: EntryFrame): Promise<Buffer> {
    const room = storedBytes <= this.#stored.length ? this.#stored : Buffer.allocUnsafeSlow(storedBytes);
    const bytes = room.subarray(0, storedBytes);
    await this.#entry.read(bytes, offset);
    return bytes;
  }

  /**
   * Read the core's bytes in a frame.
   * @param stored what {@link stored} gave for it
   * @throws {Error} when it is not what was written
   */
  async core(frame: EntryFrame, stored: Buffer): Promise<Buffer> {
    if (frame.kind === "zero") return ZEROS;
    const content =
      frame.kind === "stored"
        ? tryReadStoredFrame(stored, this.#content, this.#entry.checksum)
        : await unzstd(stored, { maxOutputLength: FRAME_BYTES });
    if (content?.length !== frame.coreBytes) throw new Error(`the frame at ${frame.offset} is not what was written`);
    return content;
  }
}

/** Make the sums that a storing pipeline left out, from what it wrote. @throws {Error} when that can't be read back */
export async function sumUp(pipeline: CorePipeline, entry: WrittenEntry): Promise<void> {
  const reader = new FrameReader(entry);
  const hash = createHash("sha256");
  const crcs: number[] = [];
  for (const frame of pipeline.frames()) {
    const stored = await reader.stored(frame);
    hash.update(await reader.core(frame, stored));
    crcs.push(updateCrc32(crcs.at(-1) ?? 0, stored));
  }
  pipeline.setSums(crcs, hash.digest("hex"));
}
