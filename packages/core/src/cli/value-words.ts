/**
 * The command-line library knows no words for the values of options, and writes `--exe #0`. Where an option is declared
 * its word stands before its description, between marks that no text has; here both are told apart again.
 */
const MARK = "\u0001";

/** Note the word of an option's value in its description. */
export function markValue(word: string, description: string): string {
  return `${MARK}${word}${MARK}${description}`;
}

/** Tell the word of an option's value, if it has one, from its description. */
export function splitValue(text: string): { word: string | undefined; description: string } {
  const [before, word, ...rest] = text.split(MARK);
  return before === "" && word !== undefined
    ? { word, description: rest.join(MARK) }
    : { word: undefined, description: text };
}

/** An option as the command-line library lists it. */
interface ListedOption {
  /** `-o,--output #0` */
  definition: string;
  description?: string | undefined;
}

/**
 * Give the values of options their words, in the list of options and in the line of usage:
 * `-o,--output #0` becomes `-o,--output FORMAT`.
 */
export function nameValues<Listed extends ListedOption>(
  usage: string,
  options: readonly Listed[],
): { usage: string; options: Listed[] } {
  const named = options.map((option) => {
    const { word, description } = splitValue(option.description ?? "");
    const definition = word === undefined ? option.definition : option.definition.replaceAll(/#\d+/g, word);
    return { ...option, definition: nameUnnamed(definition), description };
  });
  return { usage: nameUsage(usage, named), options: named };
}

/** Give the values in a line of usage the words that the command's options have. */
export function nameUsage(usage: string, named: readonly { definition: string }[]): string {
  const words = new Map<string, string>();
  for (const { definition } of named) {
    const [names = "", word] = definition.split(" ");
    if (word !== undefined) for (const name of names.split(",")) words.set(name, word);
  }
  return nameUnnamed(usage, words);
}

function nameUnnamed(text: string, words: ReadonlyMap<string, string> = new Map()): string {
  return text.replaceAll(/(-[a-zA-Z-]+)((?: #\d+)+)/g, (_match, flag: string, values: string) => {
    const word = words.get(flag) ?? (flag.split("-").at(-1) ?? flag).toUpperCase();
    return `${flag}${` ${word}`.repeat(values.split("#").length - 1)}`;
  });
}
