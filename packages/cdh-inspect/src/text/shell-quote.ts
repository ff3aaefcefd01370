/** Quote a word for a POSIX shell. */
export function shellQuote(word: string): string {
  return /^[a-zA-Z0-9._/:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
