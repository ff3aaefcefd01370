/** S3 takes 2 KiB of user metadata, Azure 8 KiB; a single value has no reason to come near that. */
const VALUE_MAX = 400;

/** Write user metadata as headers can carry it: printable ASCII, everything else percent-encoded, long values cut. */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key.toLowerCase(), encode(value)]));
}

function encode(value: string): string {
  let encoded = "";
  for (const char of value.toWellFormed().trim()) {
    const next = /^[\u0020-\u0024\u0026-\u007e]$/.test(char) ? char : encodeURIComponent(char);
    if (encoded.length + next.length > VALUE_MAX) break;
    encoded += next;
  }
  return encoded;
}

/** Read what {@link encodeMetadata} wrote; a value of somebody else's that does not decode is given as it is. */
export function decodeMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const decoded: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata ?? {})) decoded[key.toLowerCase()] = decode(value);
  return decoded;
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
