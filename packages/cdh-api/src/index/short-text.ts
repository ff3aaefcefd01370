import { hashOf } from "./hash-of.ts";

/** Characters of a text that is held as it is: a crash chooses paths of 4,096 bytes, and another one each time. */
export const SHORT_MAX = 256;
const END = 118;

/**
 * Cut a text in the middle, where it is longer than names are: its beginning and its end stay (a path ends with the program, an image
 * with its tag), and between them stands a hash of the whole, so that two are not taken for one.
 */
export function shortText(text: string): string {
  if (text.length <= SHORT_MAX) return text;
  const hash = (hashOf(text) >>> 0).toString(16).padStart(8, "0");
  // Characters of one byte leave a path in one byte each. A copy: a part of a text keeps the whole text in memory.
  return Buffer.from(`${text.slice(0, END)}...${hash}...${text.slice(-END)}`).toString();
}
