/** Marks a UUID, written as most are. No text has these bytes: UTF-8 does not. */
const UUID = 0xfe;
/** Thirty-two hexadecimal digits: a checksum, or a UUID without hyphens. */
const DIGITS = 0xff;
/** What takes half of its bytes: one such part of a text. */
const PART = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}/;
const PART_BYTES = 16;

/** Write a text in fewer bytes: UTF-8, one UUID or checksum in it as its bytes. */
export function packText(text: string): Buffer {
  const found = text.length < 32 ? null : PART.exec(text);
  if (found === null) return Buffer.from(text);
  const [part] = found;
  const isUuid = part.length === 36;
  return Buffer.concat([
    Buffer.from(text.slice(0, found.index)),
    Buffer.from([isUuid ? UUID : DIGITS]),
    Buffer.from(isUuid ? part.replaceAll("-", "") : part, "hex"),
    Buffer.from(text.slice(found.index + part.length)),
  ]);
}

/** Undo {@link packText}; of bytes that it never wrote it makes some text. */
export function unpackText(bytes: Buffer, start: number, end: number): string {
  for (let at = start; at < end; at += 1) {
    const mark = bytes[at] ?? 0;
    if (mark < UUID) continue;
    const after = at + 1 + PART_BYTES;
    if (after > end) break;
    const hex = bytes.toString("hex", at + 1, after);
    const part = mark === UUID ? uuidOf(hex) : hex;
    return bytes.toString("utf8", start, at) + part + bytes.toString("utf8", after, end);
  }
  return bytes.toString("utf8", start, end);
}

function uuidOf(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Hash bytes to 32 bits, as a signed integer. @param seed another one in each process, so that nobody can choose what collides */
export function hashBytes(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let hash = seed | 0;
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0x85ebca6b);
  return hash ^ (hash >>> 16);
}

/** Hash a text as {@link hashBytes} does bytes; the two give different numbers. */
export function hashText(text: string, seed: number): number {
  let hash = seed | 0;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0x85ebca6b);
  return hash ^ (hash >>> 16);
}
