import { tooManyRequests } from "../kube/api-error.ts";

/** Let so many in at the same time; the others are told to come again. */
export class Gate {
  readonly #max: number;
  readonly #what: string;
  #inside = 0;

  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  get inside(): number {
    return this.#inside;
  }

  /** @throws {ApiError} 429 when it is full */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#max) throw tooManyRequests(`too many ${this.#what} at the same time`, 2);
    this.#inside += 1;
    try {
      return await work();
    } finally {
      this.#inside -= 1;
    }
  }
}
