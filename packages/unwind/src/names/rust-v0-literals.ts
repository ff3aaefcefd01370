import { NotAName } from "./bounded-text.ts";

/** Types of one letter. */
export const BASIC_TYPES: Readonly<Record<string, string>> = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  p: "_",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!",
};

/** Say that a constant is none. @throws {NotAName} */
export function fail(): never {
  throw new NotAName("constant");
}

/** Write a number as people do; a very long one stays hexadecimal. */
export function integer(hexadecimal: string): string {
  if (hexadecimal === "") return "0";
  return hexadecimal.length > 16 ? `0x${hexadecimal}` : BigInt(`0x${hexadecimal}`).toString();
}

/** Write a character between quotes. @throws {NotAName} */
export function character(code: number): string {
  if (!(code <= 0x10ffff) || (code >= 0xd800 && code < 0xe000)) return fail();
  const text = String.fromCodePoint(code);
  const escapes: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "'": "\\'", "\\": "\\\\" };
  return `'${escapes[text] ?? text}'`;
}
