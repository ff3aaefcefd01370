/** Something in unwind tables that cannot be followed: damaged, or of a kind that compilers do not write. */
export class UnwindDataError extends Error {
  override readonly name = "UnwindDataError";
}

/** Longest LEB128 number that fits 64 bits. */
const LEB_BYTES_MAX = 10;

/** Bases that pointers of unwind tables may be relative to. */
export interface PointerBases {
  /** Where .eh_frame_hdr lies. */
  data?: bigint;
  /** Where the code section lies. */
  text?: bigint;
}

/**
 * Read DWARF's numbers one after the other, of a little-endian machine. Every read is checked: past the end throws
 * {@link UnwindDataError}.
 */
export class DwarfReader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Address of the first byte, for numbers that are relative to where they stand. */
  readonly #address: bigint;
  /** Bytes of an address on the machine. */
  readonly wordBytes: 4 | 8;

  constructor(bytes: Uint8Array, address = 0n, wordBytes: 4 | 8 = 8) {
    this.wordBytes = wordBytes;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#address = address;
  }

  get left(): number {
    return this.#bytes.length - this.at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** An address of the machine. */
  word(): bigint {
    return this.wordBytes === 8 ? this.u64() : BigInt(this.u32());
  }

  /** An offset into a section, in bytes: 4 of them, or 8 in DWARF's 64-bit format. */
  offset(isWide: boolean): number {
    const value = isWide ? this.u64() : BigInt(this.u32());
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new UnwindDataError(`an offset of ${value}`);
    return Number(value);
  }

  /** A signed number of 1, 2, 4 or 8 bytes. */
  signed(bytes: 1 | 2 | 4 | 8): bigint {
    return BigInt.asIntN(bytes * 8, this.unsigned(bytes));
  }

  /** An unsigned number of 1, 2, 4 or 8 bytes. */
  unsigned(bytes: 1 | 2 | 4 | 8): bigint {
    if (bytes === 8) return this.u64();
    return BigInt(bytes === 1 ? this.u8() : bytes === 2 ? this.u16() : this.u32());
  }

  uleb(): bigint {
    const short = this.#shortLeb();
    return short >= 0 ? BigInt(short) : BigInt.asUintN(64, this.#leb().value);
  }

  /** Pass over a LEB128 number, signed or not. */
  skipLeb(): void {
    if (this.#shortLeb() < 0) this.#leb();
  }

  /** Pass over bytes. */
  skip(length: number): void {
    this.#take(length);
  }

  sleb(): bigint {
    const { value, bits } = this.#leb();
    return BigInt.asIntN(Math.min(64, bits), value);
  }

  /** An unsigned LEB128 number that is a count or a register; throws when it is absurd. */
  count(): number {
    const short = this.#shortLeb();
    if (short >= 0) return short;
    const value = this.uleb();
    if (value > 0xffff_ffffn) throw new UnwindDataError(`a count of ${value}`);
    return Number(value);
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A text that ends at a NUL. */
  text(): string {
    return Buffer.from(this.textBytes()).toString("utf8");
  }

  /** The bytes of a text, without the NUL at its end. */
  textBytes(): Uint8Array {
    const end = this.#bytes.indexOf(0, this.at);
    if (end === -1) throw new UnwindDataError("a text without an end");
    const text = this.bytes(end - this.at);
    this.at += 1;
    return text;
  }

  /**
   * A pointer in one of the encodings of .eh_frame. Indirect ones are not followed.
   * @see Linux Standard Base, 10.5: DWARF exception header encoding
   */
  pointer(encoding: number, bases: PointerBases = {}): bigint {
    const here = this.#address + BigInt(this.at);
    const value = this.#encoded(encoding & 0x0f);
    if ((encoding & 0x80) !== 0) throw new UnwindDataError("an indirect pointer");
    const base = [0n, here, bases.text, bases.data][(encoding & 0x70) >>> 4];
    if (base === undefined) throw new UnwindDataError(`pointer encoding 0x${encoding.toString(16)}`);
    return BigInt.asUintN(this.wordBytes * 8, value + base);
  }

  #encoded(format: number): bigint {
    switch (format) {
      case 0x00:
        return this.word();
      case 0x04:
        return this.u64();
      case 0x01:
        return this.uleb();
      case 0x02:
        return BigInt(this.u16());
      case 0x03:
        return BigInt(this.u32());
      case 0x09:
        return this.sleb();
      case 0x0a:
        return this.signed(2);
      case 0x0b:
        return this.signed(4);
      case 0x0c:
        return this.signed(8);
      default:
        throw new UnwindDataError(`pointer format ${format}`);
    }
  }

  /** An unsigned LEB128 number of up to four bytes, as nearly all are; -1, and nothing is read, where it is longer. */
  #shortLeb(): number {
    let value = 0;
    for (let index = 0; index < 4 && this.at + index < this.#bytes.length; index += 1) {
      const byte = this.#bytes[this.at + index] ?? 0;
      value |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) {
        this.at += index + 1;
        return value;
      }
    }
    return -1;
  }

  #leb(): { value: bigint; bits: number } {
    let value = 0n;
    for (let index = 0; index < LEB_BYTES_MAX; index += 1) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if ((byte & 0x80) === 0) return { value, bits: 7 * (index + 1) };
    }
    throw new UnwindDataError("a number of more than 64 bits");
  }

  #take(length: number): number {
    if (length > this.left) throw new UnwindDataError("unwind data ends early");
    const at = this.at;
    this.at += length;
    return at;
  }
}
