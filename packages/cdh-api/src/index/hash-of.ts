/** Make 53 bits of a text: two multiplicative hashes side by side. Equal ones are compared by what they stand for. */
export function hashOf(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 2_654_435_761);
    low = Math.imul(low ^ code, 1_597_334_677);
    // Turned, because the low bits of a product know nothing of the high ones.
    high = (high << 13) | (high >>> 19);
    low = (low << 11) | (low >>> 21);
  }
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0);
}
