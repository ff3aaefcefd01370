/** Something in unwind tables that cannot be followed: damaged, or of a kind that compilers do not write. */
export class UnwindDataError extends Error {
  override readonly name = "UnwindDataError";
}

/** Longest LEB128 number that fits 64 bits. */
const LEB_BYTES_MAX = 10;

/**
 * Read DWARF's numbers one after the other, of a 64-bit little-endian machine. Every read is checked: past the end throws
 * {@link UnwindDataError}.
 */
export class DwarfReader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Address of the first byte, for numbers that are relative to where they stand. */
  readonly #address: bigint;

  constructor(bytes: Uint8Array, address = 0n) {
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
    return BigInt.asUintN(64, this.#leb().value);
  }

  sleb(): bigint {
    const { value, bits } = this.#leb();
    return BigInt.asIntN(Math.min(64, bits), value);
  }

  /** An unsigned LEB128 number that is a count or a register; throws when it is absurd. */
  count(): number {
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
    const end = this.#bytes.indexOf(0, this.at);
    if (end === -1) throw new UnwindDataError("a text without an end");
    const text = Buffer.from(this.bytes(end - this.at)).toString("latin1");
    this.at += 1;
    return text;
  }

  /**
   * A pointer in one of the encodings of .eh_frame. Indirect ones, and those relative to anything but themselves or
   * `dataBase`, are not followed.
   * @see Linux Standard Base, 10.5: DWARF exception header encoding
   */
  pointer(encoding: number, dataBase?: bigint): bigint {
    const here = this.#address + BigInt(this.at);
    const value = this.#encoded(encoding & 0x0f);
    const base = encoding & 0x70;
    if ((encoding & 0x80) !== 0) throw new UnwindDataError("an indirect pointer");
    if (base === 0) return BigInt.asUintN(64, value);
    if (base === 0x10) return BigInt.asUintN(64, value + here);
    if (base === 0x30 && dataBase !== undefined) return BigInt.asUintN(64, value + dataBase);
    throw new UnwindDataError(`pointer encoding 0x${encoding.toString(16)}`);
  }

  #encoded(format: number): bigint {
    switch (format) {
      case 0x00:
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
