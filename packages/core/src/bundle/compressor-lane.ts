import type { Transform } from "node:stream";
import { reasonOf } from "../base/errors.ts";
import { libraryField } from "../base/library-field.ts";

/** A frame as a lane made it. Its bytes lie in the lane's own buffer: they hold until `release`. */
export interface CompressedFrame {
  readonly bytes: Uint8Array;
  /** Give the buffer back; the bytes must not be looked at afterwards. */
  release(): void;
}

/**
 * zlib's own place in its output buffer. Set back, the buffer is used again instead of a new one for every frame.
 * {@link tryMisuseOfZlib} tells when an update has changed it.
 */
interface OutputPlace {
  _outOffset: number;
}

/**
 * Tell whether zlib's streams still keep their place as is relied on: a unit test asks it of Node, the composer's self-test
 * of Bun.
 * @param stream flushes to the end of a frame with every write
 * @returns what is not so; undefined when all is
 */
export async function tryMisuseOfZlib(stream: Transform): Promise<string | undefined> {
  const place = (): number => libraryField(stream, "_outOffset", "number", "zlib's stream");
  const lane = new CompressorLane(stream, () => {});
  try {
    for (const text of ["first", "second, longer"]) {
      place();
      const { bytes } = await lane.compress(Buffer.from(text));
      if (place() !== bytes.length) return `zlib's _outOffset is ${place()} after a frame of ${bytes.length} bytes`;
    }
    return undefined;
  } catch (error) {
    return reasonOf(error);
  } finally {
    lane.close();
  }
}

/**
 * One compressor that is used over and over, for one chunk at a time. The one-shot calls of zlib make a context and an
 * output buffer of a megabyte for every frame, faster than any collector takes them back: 280 MiB resident instead of 90.
 * The stream must flush to the end of a frame with every write, into an output buffer that holds any frame whole.
 */
export class CompressorLane {
  readonly #stream: Transform;
  readonly #giveBack: (lane: CompressorLane) => void;
  #parts: Buffer[] = [];
  #fail: ((error: Error) => void) | undefined;

  constructor(stream: Transform, giveBack: (lane: CompressorLane) => void) {
    this.#stream = stream;
    this.#giveBack = giveBack;
    stream.on("data", (part: Buffer) => this.#parts.push(part));
    stream.on("error", (error) => this.#fail?.(error));
  }

  /** Compress one chunk. It must stay as it is until the promise settles, and one frame must be released before the next. */
  compress(chunk: Uint8Array): Promise<CompressedFrame> {
    this.#parts = [];
    (this.#stream as Transform & OutputPlace)._outOffset = 0;
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      // The stream hands on what it made before or right after it calls back, never later than the next turn.
      this.#stream.write(chunk, () => setImmediate(() => resolve(this.#take())));
    });
  }

  /** Free the context; the lane can't be used again. */
  close(): void {
    this.#stream.destroy();
  }

  #take(): CompressedFrame {
    const [only, ...more] = this.#parts;
    const bytes = only !== undefined && more.length === 0 ? only : Buffer.concat(this.#parts);
    return { bytes, release: () => this.#giveBack(this) };
  }
}
