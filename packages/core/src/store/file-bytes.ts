/**
 * The bytes of a file where bytes in memory are expected: they have a length and can be divided, and nothing is read.
 * For code that only hands the pieces on, to whoever knows which part of the file they stand for.
 */
export class FileBytes extends Uint8Array {
  readonly #length: number;

  constructor(length: number) {
    super(0);
    this.#length = length;
  }

  override get byteLength(): number {
    return this.#length;
  }

  override get length(): number {
    return this.#length;
  }

  override subarray(begin = 0, end = this.#length): FileBytes {
    return new FileBytes(Math.max(0, Math.min(end, this.#length) - begin));
  }
}
