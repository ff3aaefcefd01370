import { NotAName } from "./bounded-text.ts";

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
const SKEW = 38;
const DAMP = 700;

/**
 * Decode a Rust identifier with letters beyond ASCII; digits are `a`–`z` and `0`–`9`.
 * @param basic its ASCII letters
 * @param extra where the others go
 * @throws {NotAName}
 * @see RFC 3492
 */
export function decodePunycode(basic: string, extra: string): string {
  const letters = [...basic];
  let code = 128;
  let bias = 72;
  let index = 0;
  let at = 0;
  while (at < extra.length) {
    const start = index;
    let weight = 1;
    for (let k = BASE; ; k += BASE) {
      const digit = digitOf(extra[at]);
      at += 1;
      index += digit * weight;
      if (index > Number.MAX_SAFE_INTEGER / BASE) throw new NotAName("punycode");
      const threshold = Math.min(T_MAX, Math.max(T_MIN, k - bias));
      if (digit < threshold) break;
      weight *= BASE - threshold;
    }
    const count = letters.length + 1;
    bias = adapt(index - start, count, start === 0);
    code += Math.floor(index / count);
    index %= count;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw new NotAName("punycode");
    letters.splice(index, 0, String.fromCodePoint(code));
    index += 1;
  }
  return letters.join("");
}

function digitOf(letter: string | undefined): number {
  const digit = "abcdefghijklmnopqrstuvwxyz0123456789".indexOf(letter ?? "?");
  if (digit === -1) throw new NotAName("punycode");
  return digit;
}

function adapt(delta: number, count: number, isFirst: boolean): number {
  let rest = Math.floor(delta / (isFirst ? DAMP : 2));
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > ((BASE - T_MIN) * T_MAX) / 2; k += BASE) rest = Math.floor(rest / (BASE - T_MIN));
  return k + Math.floor(((BASE - T_MIN + 1) * rest) / (rest + SKEW));
}
