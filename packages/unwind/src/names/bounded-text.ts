/** Longer names are of no use to a reader, and only hostile files have them. */
export const TEXT_MAX = 16 * 1024;
/** What one name may cost. A real one of 4 KiB takes a few thousand. */
const STEPS_MAX = 200_000;
/** How deep a name may be nested; real ones stay below 60. */
const DEPTH_MAX = 200;

/** Says that a name is none, or is more than is worth reading. Never leaves this folder. */
export class NotAName extends Error {}

/** Collect text under bounds: names refer back to parts of themselves, so that a short one can stand for terabytes. */
export class BoundedText {
  #text = "";
  #steps = 0;
  #depth = 0;

  get text(): string {
    return this.#text;
  }

  get length(): number {
    return this.#text.length;
  }

  /** The last character; empty at the start. */
  get last(): string {
    return this.#text.at(-1) ?? "";
  }

  /** Append. @throws {NotAName} past the bound */
  add(text: string): void {
    if (this.#text.length + text.length > TEXT_MAX) throw new NotAName("too long");
    this.#text += text;
  }

  /** Take back what was added since the text was so long. */
  cut(length: number): void {
    this.#text = this.#text.slice(0, length);
  }

  /** Go one level deeper. @throws {NotAName} when that was too deep, or too often */
  within<Result>(work: () => Result): Result {
    this.#steps += 1;
    this.#depth += 1;
    if (this.#steps > STEPS_MAX || this.#depth > DEPTH_MAX) throw new NotAName("too deep");
    try {
      return work();
    } finally {
      this.#depth -= 1;
    }
  }
}
