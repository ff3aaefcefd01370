/** A stretch of a stream that somebody waits for. Bytes come in order and are passed on at once. */
export interface Region {
  offset: number;
  length: number;
  feed(bytes: Uint8Array): void;
  /** Called once: all bytes came (`whole`), or the stream went past or ended. */
  done(whole: boolean): void;
}

/** Hand the pieces of a stream to those who wait for stretches of it. */
export class RegionFeed {
  readonly #waiting: { region: Region; fed: number }[] = [];
  /** Set by a reader that jumps: then nothing is lost by going past it. */
  jumps = false;

  add(region: Region): void {
    this.#waiting.push({ region, fed: 0 });
  }

  /** Wait for a short stretch and get it in one piece; cut short when the stream ends in it. */
  collect(offset: number, length: number, then: (bytes: Uint8Array) => void): void {
    const kept = new Uint8Array(length);
    let filled = 0;
    this.add({
      offset,
      length,
      feed: (bytes) => {
        kept.set(bytes, filled);
        filled += bytes.length;
      },
      done: () => then(kept.subarray(0, filled)),
    });
  }

  /**
   * Pass on the bytes at `base`. Regions that are found on the way (program headers behind the header, notes behind
   * those) may lie in the same bytes.
   */
  feed(chunk: Uint8Array, base: number): void {
    const end = base + chunk.length;
    for (let index = 0; index < this.#waiting.length; index += 1) {
      const entry = this.#waiting[index];
      if (entry === undefined) continue;
      const { region } = entry;
      const from = region.offset + entry.fed;
      if (from >= end || (from < base && this.jumps)) continue;
      if (from >= base) {
        const to = Math.min(region.offset + region.length, end);
        entry.fed += to - from;
        region.feed(chunk.subarray(from - base, to - base));
        if (entry.fed < region.length) continue;
      }
      this.#waiting.splice(index, 1);
      index -= 1;
      region.done(from >= base);
    }
  }

  /** Tell which bytes are waited for first. */
  next(): { offset: number; length: number } | undefined {
    let next: { offset: number; length: number } | undefined;
    for (const { region, fed } of this.#waiting) {
      const offset = region.offset + fed;
      if (next === undefined || offset < next.offset) next = { offset, length: region.length - fed };
    }
    return next;
  }

  /** Give up the region that waits for the bytes at this offset. @returns false when there is none */
  drop(offset: number | undefined): boolean {
    const index = this.#waiting.findIndex(({ region, fed }) => region.offset + fed === offset);
    if (index === -1) return false;
    this.#waiting.splice(index, 1)[0]?.region.done(false);
    return true;
  }

  /** End the stream. Ending one region may begin another: a header cut short still tells where its table would be. */
  end(): void {
    for (let entry = this.#waiting.shift(); entry !== undefined; entry = this.#waiting.shift())
      entry.region.done(false);
  }
}
