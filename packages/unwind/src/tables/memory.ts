/** Read memory of the process, up to `length` bytes; undefined where the core has nothing. */
export type ReadMemory = (address: bigint, length: number) => Promise<Uint8Array | undefined>;

/** Read an address that memory holds; undefined where the core has not all of it. */
export async function readWord(read: ReadMemory, address: bigint, wordBytes: 4 | 8): Promise<bigint | undefined> {
  if (address < 0n) return undefined;
  const bytes = await read(address, wordBytes);
  if (bytes === undefined || bytes.length < wordBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, wordBytes);
  return wordBytes === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
}

/** Read neighbouring words of eight bytes; undefined where the core has not all of them. */
export async function readWords(read: ReadMemory, address: bigint, count: number): Promise<bigint[] | undefined> {
  if (address < 0n) return undefined;
  const bytes = await read(address, count * 8);
  if (bytes === undefined || bytes.length < count * 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(index * 8, true));
}
