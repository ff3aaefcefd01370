import { tooManyRequests } from "./api-error.ts";

/**
 * Let so many in at the same time; the others are told to come again. Nobody gets more than is left free: one alone has
 * half of the places at most, two have a third each, and there is always room for one more who comes.
 * @see Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998)
 */
export class Gate {
  readonly #max: number;
  readonly #what: string;
  readonly #inside = new Map<string, number>();
  #count = 0;

  /**
   * @param max places
   * @param what stands in the refusal: "downloads"
   */
  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  get inside(): number {
    return this.#count;
  }

  /**
   * Take a place.
   * @param share who takes it, see `shareOf`: text that the caller cannot choose
   * @returns gives it back, once
   * @throws {ApiError} 429 when it is full, or when this share has as much as is left
   */
  enter(share: string): () => void {
    const own = this.#inside.get(share) ?? 0;
    if (own >= this.#max - this.#count) {
      const whose = own > 0 ? "of yours " : "";
      throw tooManyRequests(`too many ${this.#what} ${whose}at the same time`, 2);
    }
    this.#inside.set(share, own + 1);
    this.#count += 1;
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#count -= 1;
      const left = (this.#inside.get(share) ?? 1) - 1;
      if (left === 0) this.#inside.delete(share);
      else this.#inside.set(share, left);
    };
  }

  /** Work in a place. @throws {ApiError} as {@link enter} */
  async run<T>(share: string, work: () => Promise<T>): Promise<T> {
    const leave = this.enter(share);
    try {
      return await work();
    } finally {
      leave();
    }
  }
}
