/** Quote a word for a POSIX shell. */
export function shellQuote(word: string): string {
  return /^[a-zA-Z0-9._/:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Write a name so that no program takes it for an option: `-x.zip` as `./-x.zip`. */
export function asOperand(name: string): string {
  return name.startsWith("-") ? `./${name}` : name;
}
