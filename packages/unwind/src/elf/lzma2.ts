/** Something in packed data that cannot be followed. */
export class XzError extends Error {
  override readonly name = "XzError";
}

const MATCH_MIN = 2;
const STATES = 12;
const ALIGN_BITS = 4;
const FULL_DISTANCES = 128;

/** Bytes that grow as they are written, up to a bound. */
export class Output {
  bytes = new Uint8Array(64 * 1024);
  length = 0;
  readonly #max: number;

  constructor(maxBytes: number) {
    this.#max = maxBytes;
  }

  reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted > this.#max) throw new XzError(`more than ${this.#max} bytes`);
    if (wanted <= this.bytes.length) return;
    const larger = new Uint8Array(Math.min(this.#max, Math.max(wanted, this.bytes.length * 2)));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

const tree = (bits: number): Uint16Array => new Uint16Array(2 ** bits).fill(1024);
const trees = (count: number, bits: number): Uint16Array[] => Array.from({ length: count }, () => tree(bits));

class LengthCoder {
  readonly choice = new Uint16Array(2).fill(1024);
  readonly low = trees(16, 3);
  readonly mid = trees(16, 3);
  readonly high = tree(8);
}

/** All probabilities of the model. */
class Model {
  readonly literals: Uint16Array;
  readonly isMatch = new Uint16Array(STATES * 16).fill(1024);
  readonly isRep = new Uint16Array(STATES).fill(1024);
  readonly isRep0 = new Uint16Array(STATES).fill(1024);
  readonly isRep1 = new Uint16Array(STATES).fill(1024);
  readonly isRep2 = new Uint16Array(STATES).fill(1024);
  readonly isRep0Long = new Uint16Array(STATES * 16).fill(1024);
  readonly slots = trees(4, 6);
  readonly positions = new Uint16Array(FULL_DISTANCES + 1).fill(1024);
  readonly align = tree(ALIGN_BITS);
  readonly matchLength = new LengthCoder();
  readonly repLength = new LengthCoder();
  state = 0;
  reps: [number, number, number, number] = [0, 0, 0, 0];

  constructor(literalBits: number) {
    this.literals = new Uint16Array(0x300 * 2 ** literalBits).fill(1024);
  }
}

/** Reads bits of known odds. Past the end it reads zeros, and says so. */
class RangeDecoder {
  #range = 0xffff_ffff;
  #code = 0;
  #at: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    if (bytes.length < 5) throw new XzError("a chunk ends early");
    this.#bytes = bytes;
    for (let index = 1; index < 5; index += 1) this.#code = ((this.#code << 8) | (bytes[index] ?? 0)) >>> 0;
    this.#at = 5;
  }

  bit(odds: Uint16Array, index: number): number {
    this.#normalize();
    const odd = odds[index] ?? 1024;
    const bound = Math.imul(this.#range >>> 11, odd) >>> 0;
    if (this.#code < bound) {
      this.#range = bound;
      odds[index] = odd + ((2048 - odd) >>> 5);
      return 0;
    }
    this.#range = (this.#range - bound) >>> 0;
    this.#code = (this.#code - bound) >>> 0;
    odds[index] = odd - (odd >>> 5);
    return 1;
  }

  direct(bits: number): number {
    let value = 0;
    for (let left = bits; left > 0; left -= 1) {
      this.#normalize();
      this.#range >>>= 1;
      const isSet = this.#code >= this.#range ? 1 : 0;
      if (isSet === 1) this.#code = (this.#code - this.#range) >>> 0;
      value = ((value << 1) | isSet) >>> 0;
    }
    return value;
  }

  fromTree(odds: Uint16Array, bits: number): number {
    let node = 1;
    for (let left = bits; left > 0; left -= 1) node = (node << 1) | this.bit(odds, node);
    return node - 2 ** bits;
  }

  fromReverseTree(odds: Uint16Array, base: number, bits: number): number {
    let [node, value] = [1, 0];
    for (let index = 0; index < bits; index += 1) {
      const bit = this.bit(odds, base + node);
      node = (node << 1) | bit;
      value |= bit << index;
    }
    return value;
  }

  #normalize(): void {
    if (this.#range >= 0x0100_0000) return;
    if (this.#at > this.#bytes.length + 4) throw new XzError("a chunk ends early");
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | (this.#bytes[this.#at] ?? 0)) >>> 0;
    this.#at += 1;
  }
}

/** How LZMA is set: bits of the literal's and of the position's context. */
interface Properties {
  lc: number;
  lp: number;
  pb: number;
}

/**
 * Unpack a stream of LZMA2 chunks.
 * @returns where the stream ends in `bytes`
 * @throws {XzError} when it is damaged, or unpacks to more than the output takes
 * @see xz-file-format.txt; LZMA specification of the LZMA SDK
 */
export function decodeLzma2(bytes: Uint8Array, start: number, output: Output): number {
  let at = start;
  let properties: Properties | undefined;
  let model: Model | undefined;
  let dictionary = output.length;
  const u16 = (index: number): number => ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  for (;;) {
    const control = bytes[at];
    if (control === undefined) throw new XzError("no end");
    at += 1;
    if (control === 0) return at;
    if (control < 0x80) {
      if (control > 2) throw new XzError(`chunk ${control}`);
      if (control === 1) dictionary = output.length;
      const size = u16(at) + 1;
      output.reserve(size);
      const raw = bytes.subarray(at + 2, at + 2 + size);
      if (raw.length < size) throw new XzError("a chunk ends early");
      output.bytes.set(raw, output.length);
      output.length += size;
      at += 2 + size;
      continue;
    }
    const unpacked = ((control & 0x1f) << 16) + u16(at) + 1;
    const packed = u16(at + 2) + 1;
    at += 4;
    const reset = (control >>> 5) & 3;
    if (reset === 3) dictionary = output.length;
    if (reset >= 2) {
      properties = parseProperties(bytes[at] ?? 0xff);
      at += 1;
    }
    if (properties === undefined) throw new XzError("no properties");
    if (reset >= 1) model = new Model(properties.lc + properties.lp);
    if (model === undefined || at + packed > bytes.length) throw new XzError("a chunk ends early");
    output.reserve(unpacked);
    decodeChunk(new RangeDecoder(bytes.subarray(at, at + packed)), model, properties, output, dictionary, unpacked);
    at += packed;
  }
}

function parseProperties(value: number): Properties {
  const [lc, rest] = [value % 9, Math.floor(value / 9)];
  const [lp, pb] = [rest % 5, Math.floor(rest / 5)];
  if (pb > 4 || lc + lp > 4) throw new XzError("properties");
  return { lc, lp, pb };
}

function decodeChunk(
  coder: RangeDecoder,
  model: Model,
  { lc, lp, pb }: Properties,
  output: Output,
  dictionary: number,
  unpacked: number,
): void {
  const end = output.length + unpacked;
  const { bytes } = output;
  while (output.length < end) {
    const position = output.length - dictionary;
    const posState = position & (2 ** pb - 1);
    const { state, reps } = model;
    if (coder.bit(model.isMatch, state * 16 + posState) === 0) {
      const previous = position > 0 ? (bytes[output.length - 1] ?? 0) : 0;
      const context = ((position & (2 ** lp - 1)) << lc) + (previous >>> (8 - lc));
      const match = state >= 7 ? (bytes[output.length - reps[0] - 1] ?? 0) : undefined;
      bytes[output.length] = decodeLiteral(coder, model.literals, context * 0x300, match);
      output.length += 1;
      model.state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    let length = 1;
    if (coder.bit(model.isRep, state) === 0) {
      length = MATCH_MIN + decodeLength(coder, model.matchLength, posState);
      model.state = state < 7 ? 7 : 10;
      model.reps = [decodeDistance(coder, model, length), reps[0], reps[1], reps[2]];
    } else {
      let isShort = false;
      if (coder.bit(model.isRep0, state) === 0) isShort = coder.bit(model.isRep0Long, state * 16 + posState) === 0;
      else if (coder.bit(model.isRep1, state) === 0) model.reps = [reps[1], reps[0], reps[2], reps[3]];
      else if (coder.bit(model.isRep2, state) === 0) model.reps = [reps[2], reps[0], reps[1], reps[3]];
      else model.reps = [reps[3], reps[0], reps[1], reps[2]];
      if (isShort) model.state = state < 7 ? 9 : 11;
      else {
        length = MATCH_MIN + decodeLength(coder, model.repLength, posState);
        model.state = state < 7 ? 8 : 11;
      }
    }
    const distance = model.reps[0] + 1;
    if (distance > output.length - dictionary || output.length + length > end) throw new XzError("a match too far");
    for (let left = length; left > 0; left -= 1) {
      bytes[output.length] = bytes[output.length - distance] ?? 0;
      output.length += 1;
    }
  }
}

function decodeLiteral(coder: RangeDecoder, odds: Uint16Array, base: number, match: number | undefined): number {
  let symbol = 1;
  if (match !== undefined) {
    let left = match;
    while (symbol < 0x100) {
      const bit = (left >>> 7) & 1;
      left = (left << 1) & 0xff;
      const got = coder.bit(odds, base + ((1 + bit) << 8) + symbol);
      symbol = (symbol << 1) | got;
      if (got !== bit) break;
    }
  }
  while (symbol < 0x100) symbol = (symbol << 1) | coder.bit(odds, base + symbol);
  return symbol & 0xff;
}

function decodeLength(coder: RangeDecoder, { choice, low, mid, high }: LengthCoder, posState: number): number {
  if (coder.bit(choice, 0) === 0) return coder.fromTree(low[posState] ?? high, 3);
  if (coder.bit(choice, 1) === 0) return 8 + coder.fromTree(mid[posState] ?? high, 3);
  return 16 + coder.fromTree(high, 8);
}

function decodeDistance(coder: RangeDecoder, model: Model, length: number): number {
  const slot = coder.fromTree(model.slots[Math.min(length - MATCH_MIN, 3)] ?? model.align, 6);
  if (slot < 4) return slot;
  const bits = (slot >>> 1) - 1;
  const base = (2 | (slot & 1)) * 2 ** bits;
  if (slot < 14) return base + coder.fromReverseTree(model.positions, base - slot, bits);
  return base + coder.direct(bits - ALIGN_BITS) * 2 ** ALIGN_BITS + coder.fromReverseTree(model.align, 0, ALIGN_BITS);
}
