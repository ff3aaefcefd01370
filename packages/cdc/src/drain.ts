import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { CorePipeline, FrameBuffer } from "@cdh/core/bundle/core-pipeline";
import type { CoreInput } from "./input.ts";

/** What a drain needs. */
export interface DrainOptions {
  input: CoreInput;
  pipeline: CorePipeline;
  /** Keep no more than so many bytes. */
  limitBytes: number;
  /** Ends the drain at once: deadline reached, or the crash is not wanted. */
  stop: AbortSignal;
  /** Awaited once, after the first frame: the place in the node's waiting line. */
  turn: () => Promise<void>;
  /** Sees every byte in order, also those past the limit that are read only to learn what crashed. */
  observe: (chunk: Uint8Array) => void;
}

/** How a drain ended. */
export interface DrainResult {
  endedBy: "end" | "limit" | "stop" | "writeFailure" | "readFailure";
  /** Bytes that arrived, kept or not. */
  receivedBytes: number;
  error?: unknown;
}

/** A core's notes stand before its memory. So much of a core that isn't kept is read to find them. */
const OBSERVE_BYTES = 4 * 1024 * 1024;

/**
 * Read a core to its end into the pipeline. While one frame is hashed and handed over, the next is being read. The
 * caller closes the input, because the crashed process stays readable in /proc until then.
 */
export async function drain(options: DrainOptions): Promise<DrainResult> {
  const { input, pipeline, stop, observe } = options;
  const stopped = new Promise<"stopped">((resolve) => {
    if (stop.aborted) resolve("stopped");
    stop.addEventListener("abort", () => resolve("stopped"), { once: true });
  });
  let receivedBytes = 0;
  let keptBytes = 0;
  let buffer = await pipeline.acquire();
  let filling = fill(input, buffer);
  let isFirst = true;
  for (;;) {
    const filled = await Promise.race([filling, stopped]);
    if (filled === "stopped") return { endedBy: "stop", receivedBytes };
    const { count, error, ended } = filled;
    receivedBytes += count;
    const keep = Math.min(count, Math.max(0, options.limitBytes - keptBytes));
    keptBytes += keep;
    const full = buffer;
    const isLimited = keep < count;
    const goesOn = !ended && error === undefined && (!isLimited || receivedBytes < OBSERVE_BYTES);
    if (goesOn) {
      if (isFirst) await Promise.race([options.turn(), stopped]);
      isFirst = false;
      const next = await Promise.race([pipeline.acquire(), stopped]);
      if (next === "stopped") {
        take(full, count, keep);
        return { endedBy: "stop", receivedBytes };
      }
      buffer = next;
      filling = fill(input, buffer);
    }
    take(full, count, keep);
    if (pipeline.failure !== undefined) return { endedBy: "writeFailure", receivedBytes, error: pipeline.failure };
    if (error !== undefined) return { endedBy: "readFailure", receivedBytes, error };
    if (!goesOn) return { endedBy: isLimited ? "limit" : "end", receivedBytes };
  }

  function take(full: FrameBuffer, count: number, keep: number): void {
    if (count > 0) observe(full.subarray(0, count));
    pipeline.submit(full, keep);
  }
}

interface Filled {
  count: number;
  ended: boolean;
  error?: unknown;
}

/** Fill one frame. A pipe gives as much as it holds, so this takes several reads. */
async function fill(input: CoreInput, buffer: Buffer): Promise<Filled> {
  let count = 0;
  try {
    while (count < FRAME_BYTES) {
      const got = await input.read(buffer, count, FRAME_BYTES - count);
      if (got === 0) return { count, ended: true };
      count += got;
    }
    return { count, ended: false };
  } catch (error) {
    return { count, ended: true, error };
  }
}
