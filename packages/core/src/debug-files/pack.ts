import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { CdhError } from "../base/errors.ts";
import { makeFrameCompressor } from "../bundle/frame-compressor.ts";
import { encodeSeekTable, FRAME_BYTES, type FrameSize } from "../bundle/zstd-frames.ts";

/** A program's file, readable anywhere. Sizes and offsets in bytes. */
export interface FileBytes {
  sizeBytes: number;
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** What was packed. */
export interface Packed {
  /** Of the file itself. */
  sizeBytes: number;
  /** SHA-256 of the file itself, lower-case hexadecimal. */
  sha256: string;
  storedBytes: number;
}

/** Better than a core's: a file is packed once and fetched many times. */
const LEVEL = 3;
/** Frames that are compressed at the same time. */
const AT_ONCE = 2;

/**
 * Compress a file into independent zstd frames with a seek table, in constant memory.
 * @param target path of a file that is not there yet; what is left of it after an error is the caller's to remove
 * @throws {CdhError} CDH_DISK when the file ends early; the system's error
 */
export async function packFile(source: FileBytes, target: string, signal?: AbortSignal): Promise<Packed> {
  const hash = createHash("sha256");
  const frames: FrameSize[] = [];
  const file = await open(target, "wx", 0o600);
  const compressor = makeFrameCompressor("zstd", LEVEL);
  const running: { coreBytes: number; frame: ReturnType<typeof compressor.compress> }[] = [];
  let storedBytes = 0;
  const append = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length;)
      done += (await file.write(bytes, done, bytes.length - done, storedBytes + done)).bytesWritten;
    storedBytes += bytes.length;
  };
  const finishOldest = async (): Promise<void> => {
    const oldest = running.shift();
    if (oldest === undefined) return;
    const { bytes, release } = await oldest.frame;
    frames.push({ storedBytes: bytes.length, coreBytes: oldest.coreBytes });
    await append(bytes);
    release();
  };
  try {
    for (let offset = 0; offset < source.sizeBytes; offset += FRAME_BYTES) {
      signal?.throwIfAborted();
      const chunk = await source.read(offset, Math.min(FRAME_BYTES, source.sizeBytes - offset));
      if (chunk.length < Math.min(FRAME_BYTES, source.sizeBytes - offset))
        throw new CdhError("CDH_DISK", "the file became shorter while it was read");
      hash.update(chunk);
      const frame = compressor.compress(chunk);
      frame.catch(() => {});
      running.push({ coreBytes: chunk.length, frame });
      if (running.length >= AT_ONCE) await finishOldest();
    }
    while (running.length > 0) await finishOldest();
    await append(encodeSeekTable(frames));
    await file.sync();
    return { sizeBytes: source.sizeBytes, sha256: hash.digest("hex"), storedBytes };
  } finally {
    await Promise.allSettled(running.map(({ frame }) => frame));
    compressor.close();
    await file.close();
  }
}

/** Hash a file without packing it: SHA-256, lower-case hexadecimal. @throws {CdhError} CDH_DISK when it ends early */
export async function hashBytes(source: FileBytes, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (let offset = 0; offset < source.sizeBytes; offset += FRAME_BYTES) {
    signal?.throwIfAborted();
    const wanted = Math.min(FRAME_BYTES, source.sizeBytes - offset);
    const chunk = await source.read(offset, wanted);
    if (chunk.length < wanted) throw new CdhError("CDH_DISK", "the file became shorter while it was read");
    hash.update(chunk);
  }
  return hash.digest("hex");
}
