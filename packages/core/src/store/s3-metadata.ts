/** S3 takes 2 KiB of user metadata; a single value has no reason to come near that. */
const VALUE_MAX = 400;

/** Write user metadata as headers can carry it: printable ASCII, everything else percent-encoded, long values cut. */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const encoded: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata)) {
    encoded[key.toLowerCase()] = value
      .toWellFormed()
      .trim()
      .replaceAll(/[^\u0020-\u0024\u0026-\u007e]/gu, (char) => encodeURIComponent(char))
      .slice(0, VALUE_MAX)
      .replace(/%[0-9A-F]?$/, "");
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
