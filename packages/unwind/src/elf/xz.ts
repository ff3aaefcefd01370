import { decodeLzma2, Output, XzError } from "./lzma2.ts";

export { XzError } from "./lzma2.ts";

const MAGIC = Buffer.from("fd377a585a00", "hex");
const STREAM_HEADER_BYTES = 12;
const FILTER_LZMA2 = 0x21n;
/** Bytes of a block's checksum, by the kind that the stream's header tells: none, CRC-32, CRC-64, SHA-256. */
const CHECK_BYTES: Partial<Record<number, number>> = { 0: 0, 1: 4, 4: 8, 10: 32 };

/**
 * Unpack the first stream of an .xz file that was packed with LZMA2 alone, which is what xz writes unless it is told
 * otherwise. Checksums are not compared: what comes out is looked at as hostile input anyway.
 * @param maxBytes bound of what comes out
 * @throws {XzError} when it is damaged, of another kind, or larger
 */
export function decodeXz(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.length < STREAM_HEADER_BYTES || !MAGIC.equals(bytes.subarray(0, MAGIC.length)))
    throw new XzError("no stream");
  const checkBytes = CHECK_BYTES[(bytes[7] ?? 0) & 0xf];
  if (checkBytes === undefined) throw new XzError("a checksum of another kind");
  const output = new Output(maxBytes);
  let at = STREAM_HEADER_BYTES;
  // The index, which follows the blocks, begins with a zero.
  while (bytes[at] !== undefined && bytes[at] !== 0) {
    const headerBytes = ((bytes[at] ?? 0) + 1) * 4;
    checkFilter(bytes.subarray(at, at + headerBytes));
    const end = decodeLzma2(bytes, at + headerBytes, output);
    const bodyBytes = end - at - headerBytes;
    at = end + ((4 - (bodyBytes % 4)) % 4) + checkBytes;
  }
  return output.bytes.subarray(0, output.length);
}

function checkFilter(header: Uint8Array): void {
  let at = 2;
  const number = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 63n; shift += 7n) {
      const byte = header[at] ?? 0;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new XzError("a number of more than 63 bits");
  };
  const flags = header[1] ?? 0;
  if ((flags & 0x40) !== 0) number();
  if ((flags & 0x80) !== 0) number();
  if ((flags & 3) !== 0 || number() !== FILTER_LZMA2) throw new XzError("a filter of another kind");
}
