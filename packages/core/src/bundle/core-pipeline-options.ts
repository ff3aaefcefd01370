import type { CoreEntrySums, CoreSink } from "./core-entry.ts";
import type { FrameCompressor } from "./frame-compressor.ts";
import type { FrameStoring } from "./frame-storing.ts";

/** Sizes and sums of the core's entry. */
export interface CoreSummary extends CoreEntrySums {
  /** SHA-256 of the core, hexadecimal; absent when frames were given up again. */
  sha256?: string;
}

/** Say how much may be worked on at once. */
export interface CorePipelineOptions {
  compressor: FrameCompressor;
  sink: CoreSink;
  /** Frames compressed at the same time. */
  threads: number;
  /** Frames of 1 MiB held in memory, being filled, compressed or written. */
  buffers: number;
  /**
   * Compress nothing before so many frames have come, or all of them: a small core is out of the kernel sooner when
   * nothing competes with its reading. Fewer than `buffers`. Default 0.
   */
  holdBack?: number;
  /** Without it every frame is compressed. */
  storing?: FrameStoring;
}
