import type { FrameStoring } from "@cdh/core/bundle/frame-storing";
import type { Manifest } from "@cdh/core/bundle/manifest";
import type { Checksum } from "@cdh/core/bundle/stored-frame";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import { formatBytes } from "@cdh/core/units";

/** How a core was taken, as its manifest says it. */
export type Taking = NonNullable<Manifest["composer"]["take"]>;

/** A core is taken raw where it takes no more than this part of what the spool may still take: others crash meanwhile. */
const ROOM_PART = 4;

/** The disk is looked at by so many bytes at a time. */
const LOOK_BYTES = 16 * FRAME_BYTES;

/** A disk that takes longer than this for a mebibyte, in milliseconds, is slower than two processors compress. */
const SLOW_MS = 6;

/** So many frames are compressed then before the disk is tried again. */
const COMPRESSED_FRAMES = 32;

/** What the choice is made by. */
export interface RawTakeOptions {
  settings: Pick<ComposerSettings, "take" | "compression">;
  /** Bytes that the spool may still take; undefined as long as that is not known. */
  room: () => number | undefined;
  /** How long the core is going to be, as its headers say; 0 before they came. */
  expectedBytes: () => number;
  /** Whether the node's slots for compressing are all taken. */
  isInLine: () => boolean;
  checksum: Checksum | undefined;
}

/**
 * Chooses whether a core is taken raw: its frames are stored as they are, so that the crashed process waits for the
 * disk alone, and are packed when it was let go. Where the disk is the slower of both, frames are compressed on their way.
 */
export class RawTake implements FrameStoring {
  readonly checksum: Checksum | undefined;
  readonly #options: RawTakeOptions;
  #begun: "no" | "yes" | "refused" = "no";
  #reason: string | undefined;
  #lookedBytes = 0;
  #lookedMs = 0;
  #compressed = 0;

  constructor(options: RawTakeOptions) {
    this.#options = options;
    this.checksum = options.checksum;
  }

  /** Tell how the core was taken. */
  get taking(): Taking {
    if (this.#begun === "yes") return { from: "pipe", as: "raw" };
    const reason = this.#reason ?? this.#refusal() ?? "it is small";
    return { from: "pipe", as: "packed", reasons: [`not raw: ${reason}`] };
  }

  /** Tell whether the next frame needs no slot of the node's: it is not compressed while the process is held. */
  get needsNoSlot(): boolean {
    if (this.#begun === "yes") return this.#compressed === 0;
    return this.#begun === "no" && this.#refusal() === undefined;
  }

  isUrgent(): boolean {
    return this.#options.expectedBytes() > 0 && this.#options.isInLine();
  }

  begins(): boolean {
    this.#reason = this.#refusal();
    if (this.#reason === undefined && this.#options.expectedBytes() === 0)
      this.#reason = "it does not say how long it is";
    this.#begun = this.#reason === undefined ? "yes" : "refused";
    return this.#begun === "yes";
  }

  stores(): boolean {
    if (this.#compressed > 0) {
      this.#compressed -= 1;
      return false;
    }
    return (this.#options.room() ?? 0) > 0;
  }

  /** Learn what a frame took to be written. @param ms of the file system's call alone */
  wrote(bytes: number, ms: number): void {
    if (this.#begun !== "yes") return;
    this.#lookedBytes += bytes;
    this.#lookedMs += ms;
    if (this.#lookedBytes < LOOK_BYTES) return;
    if (this.#lookedMs / (this.#lookedBytes / FRAME_BYTES) > SLOW_MS) this.#compressed = COMPRESSED_FRAMES;
    this.#lookedBytes = 0;
    this.#lookedMs = 0;
  }

  /** Say why it is not taken raw; undefined when it may be. */
  #refusal(): string | undefined {
    const { settings, room, expectedBytes } = this.#options;
    if (settings.take === "pipe") return "TAKE=pipe";
    if (settings.compression !== "zstd") return `COMPRESSION=${settings.compression}`;
    const [expected, left] = [expectedBytes(), room()];
    // Neither is known at the very start.
    if (expected === 0) return undefined;
    if (left === undefined) return "the room on the disk is not known";
    if (expected * ROOM_PART > left)
      return `${formatBytes(expected)} are more than a quarter of the room that is left, ${formatBytes(left)}`;
    return undefined;
  }
}
