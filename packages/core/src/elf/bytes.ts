/** How numbers lie in an ELF file. */
export interface ElfLayout {
  bits: 32 | 64;
  little: boolean;
}

/**
 * Read numbers and texts at fixed places, in a file's byte order and word size. Reading past the end gives 0 or the
 * empty text, so that no damaged note can throw.
 */
export class FieldReader {
  readonly length: number;
  readonly wordBytes: 4 | 8;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(bytes: Uint8Array, layout: ElfLayout) {
    this.length = bytes.byteLength;
    this.wordBytes = layout.bits === 64 ? 8 : 4;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = layout.little;
  }

  u8(at: number): number {
    return this.#has(at, 1) ? this.#view.getUint8(at) : 0;
  }

  i8(at: number): number {
    return this.#has(at, 1) ? this.#view.getInt8(at) : 0;
  }

  u16(at: number): number {
    return this.#has(at, 2) ? this.#view.getUint16(at, this.#little) : 0;
  }

  i32(at: number): number {
    return this.#has(at, 4) ? this.#view.getInt32(at, this.#little) : 0;
  }

  u32(at: number): number {
    return this.#has(at, 4) ? this.#view.getUint32(at, this.#little) : 0;
  }

  u64(at: number): bigint {
    return this.#has(at, 8) ? this.#view.getBigUint64(at, this.#little) : 0n;
  }

  /** An `unsigned long` of the file's machine. */
  word(at: number): bigint {
    return this.wordBytes === 8 ? this.u64(at) : BigInt(this.u32(at));
  }

  /** An `unsigned long` that counts bytes; infinity when it is beyond 2^53, as no real one is. */
  size(at: number): number {
    const value = this.word(at);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.POSITIVE_INFINITY;
  }

  /** A text of at most `length` bytes that ends at the first NUL; broken UTF-8 becomes U+FFFD. */
  text(at: number, length: number): string {
    if (!this.#has(at, 0)) return "";
    return decodeText(this.#bytes.subarray(at, at + length));
  }

  #has(at: number, bytes: number): boolean {
    return at >= 0 && at + bytes <= this.length;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** Decode bytes up to the first NUL; broken UTF-8 becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
}
