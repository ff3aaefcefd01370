import type { CoreSegment } from "./facts.ts";
import { startsLikeElf } from "./format.ts";
import { tryParseModuleImage, type ModuleImage } from "./module-image.ts";
import type { RegionFeed } from "./regions.ts";

/** What of a mapped file's beginning is kept at first: the one page that the kernel dumps of it. */
export const IMAGE_BYTES = 4096;
/** Beginnings of images that are waited for at a time. */
const AWAITED_MAX_BYTES = 1024 * 1024;
/** Texts of all package notes together: distributions write 100 to 400 bytes for a file. */
const PACKAGES_MAX_BYTES = 1024 * 1024;

/** Read the ELF files at the starts of segments while a core streams by. */
export class ModuleImages {
  readonly #limit: number;
  readonly #regions: RegionFeed;
  readonly #problem: (code: string, detail: string) => void;
  /** What was found, by the address of the segment. */
  readonly found = new Map<bigint, ModuleImage>();
  #captured = 0;
  /** Beginnings of ELF files beyond the limits. */
  #passedOver = 0;
  /** Bytes of images that have not come yet. */
  #awaitedBytes = 0;
  #packageBytes = 0;

  /** @param limit most files that are looked at */
  constructor(limit: number, regions: RegionFeed, problem: (code: string, detail: string) => void) {
    this.#limit = limit;
    this.#regions = regions;
    this.#problem = problem;
  }

  /** Say what was passed over, at the end. */
  end(): void {
    if (this.#passedOver > 0 && this.#limit > 0)
      this.#problem(
        "CDH_CORE_LIMIT",
        `only the first ${this.#captured} ELF files are looked at, ${this.#passedOver} are not`,
      );
  }

  /** Look for an ELF file at the start of a segment; `bytes` begin there and go as far as the chunk does. */
  look(segment: CoreSegment, bytes: Uint8Array): void {
    if (!startsLikeElf(bytes)) return;
    if (this.#captured >= this.#limit) {
      this.#passedOver += 1;
      return;
    }
    this.#captured += 1;
    this.#read(segment, bytes, Math.min(IMAGE_BYTES, segment.fileSize));
  }

  /** Read the first `length` bytes of an image: at once where they have come, which costs no copy. */
  #read(segment: CoreSegment, bytes: Uint8Array, length: number): void {
    if (bytes.length >= length) {
      const image = tryParseModuleImage(bytes.subarray(0, length));
      if (image === undefined) return;
      this.#keep(segment, image);
      const wanted = image.wantedBytes ?? 0;
      if (length === IMAGE_BYTES && wanted > length && wanted <= segment.fileSize) this.#read(segment, bytes, wanted);
      return;
    }
    // Segments that overlap, as no kernel writes them, could have any number of them waiting.
    if (this.#awaitedBytes + length > AWAITED_MAX_BYTES) {
      this.#passedOver += 1;
      return;
    }
    this.#awaitedBytes += length;
    const start = bytes.slice();
    this.#regions.collect(segment.offset + start.length, length - start.length, (more) => {
      this.#awaitedBytes -= length;
      const whole = Buffer.concat([start, more]);
      this.#read(segment, whole, Math.min(length, whole.length));
    });
  }

  #keep(segment: CoreSegment, image: ModuleImage): void {
    const bytes = Object.values(image.package ?? {}).reduce((sum, text) => sum + text.length, 0);
    this.#packageBytes += bytes;
    if (this.#packageBytes > PACKAGES_MAX_BYTES && bytes > 0) {
      this.#problem("CDH_CORE_LIMIT", "package notes beyond 1 MiB in all are left out");
      delete image.package;
    }
    this.found.set(segment.vaddr, image);
  }
}
