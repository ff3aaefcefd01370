import type { Checksum } from "./stored-frame.ts";

/** Says which frames go into the entry as they are, to be packed when nobody waits for it any more. Of zstd's entries alone. */
export interface FrameStoring {
  /** Whether to begin before the frames that are held back have come. Asked with each of them. */
  isUrgent(): boolean;
  /** Whether to begin at all. Asked once; from then on neither hash nor sums are made. */
  begins(): boolean;
  /** Whether to store the next frame rather than to compress it. */
  stores(): boolean;
  /** Of stored frames; without it they have none. */
  checksum: Checksum | undefined;
}
