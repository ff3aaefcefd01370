/**
 * Cut a text to so many bytes of UTF-8, never within a character. Linear, whatever the text.
 * @returns the text itself when it fits
 */
export function cutText(text: string, maxBytes: number): string {
  // A UTF-16 unit takes one byte at least, so what stands further on is not even encoded.
  const bytes = Buffer.from(text.length > maxBytes ? text.slice(0, maxBytes + 1) : text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}
