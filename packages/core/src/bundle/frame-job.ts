import type { CompressedFrame } from "./compressor-lane.ts";
import type { FrameBuffer } from "./frame-buffers.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

/** A chunk of the core on its way into the entry. */
export interface FrameJob {
  buffer: FrameBuffer;
  length: number;
  /** Who still reads the buffer: the writer, the hasher. */
  readers: number;
  isZero: boolean;
  /** It goes into the entry as it is. */
  isStored: boolean;
  result: Promise<CompressedFrame> | undefined;
}

/** Of a chunk of zeros that came without any. */
const NO_BUFFER: FrameBuffer = Buffer.from(new SharedArrayBuffer(0));

/** Make the job of a chunk in a buffer, or of one of zeros without. */
export function makeFrameJob(chunk?: { buffer: FrameBuffer; length: number }): FrameJob {
  const { buffer, length } = chunk ?? { buffer: NO_BUFFER, length: FRAME_BYTES };
  const isZero = chunk === undefined;
  return { buffer, length, readers: isZero ? 0 : 2, isZero, isStored: false, result: undefined };
}
