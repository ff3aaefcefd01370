import { withoutCommon } from "./help.ts";
import { nameUsage } from "./value-words.ts";

/** A command as the command-line library describes it. */
export interface KnownCommand {
  /** `cdh-upload sweep`. */
  path: string;
  /** `cdh-upload sweep [--store #0] [FILE]`. */
  usage: string;
  options: readonly { definition: string }[];
}

/** What to say to somebody who typed something wrong. */
export interface Misuse {
  message: string;
  hint: string;
}

/**
 * Words that other tools have for a command of ours, and what to say: the first command that the program has, or a sentence.
 * @see coredumpctl(1), kubectl
 */
const WORDS_OF_OTHERS: Readonly<Record<string, readonly string[]>> = {
  list: ["ls"],
  info: ["show", "status"],
  describe: ["show", "status"],
  explain: ["show"],
  download: ["get", "cat"],
  dump: ["get", "unpack"],
  export: ["get", "unpack"],
  extract: ["unpack"],
  unzip: ["unpack"],
  backtrace: ["bt"],
  stack: ["bt"],
  gdb: ["debug"],
  lldb: ["debug"],
  bugs: ["groups"],
  log: ["logs"],
  validate: ["verify", "check"],
  check: ["verify"],
  uninstall: ["restore"],
  remove: ["restore"],
  upload: ["sweep"],
};
const DELETES = new Set(["delete", "rm", "remove"]);

/** Usages that are longer do not fit a hint; the help page has them. */
const USAGE_MAX = 200;

/**
 * Shorten what the command-line library says of a wrong command line to one line about the mistake and one with what
 * would be right. Where the library only lists all commands, the mistake is found in the words that were typed.
 * @param typed what stood after the program's name
 */
export function describeMisuse(
  program: string,
  said: string,
  commands: readonly KnownCommand[] = [],
  typed: readonly string[] = [],
): Misuse {
  const text = said.trim();
  const given = /^Command not found; did you mean one of:[^]*\nWhile running (.*)$/.exec(text)?.[1];
  if (given !== undefined) return describeUnknown(program, given, commands, typed);
  const [first = "", ...rest] = text.split("\n");
  const usage = rest.find((line) => line.startsWith("$ "))?.slice(2);
  const command = commands.find(({ path }) => path !== program && usage?.startsWith(path) === true);
  if (usage === undefined) {
    const verb = findCommand(commands, typed)?.path ?? program;
    return { message: text, hint: `${verb} --help` };
  }
  const verb = new RegExp(`^${program}((?: [a-z][a-z-]*)*)`).exec(usage)?.[1] ?? "";
  if (verb === "" && typed.some((word) => !word.startsWith("-")))
    return describeUnknown(program, typed.join(" "), commands, typed);
  return { message: shorten(first, usage, command, typed), hint: rightUsage(program, verb, usage, first, command) };
}

/** The library says "not found" too when a command is known and only its words do not fit any of its forms. */
function describeUnknown(
  program: string,
  given: string,
  commands: readonly KnownCommand[],
  typed: readonly string[],
): Misuse {
  const hint = `${program} --help`;
  const [word = given] = typed;
  const command = findCommand(commands, typed);
  if (command !== undefined) {
    const words = positionalsOf(command, typed);
    const known = [...command.usage.matchAll(/ (?:\[([A-Z]+)\]|<([A-Z]+)>)( \.\.\.)?/g)];
    const surplus = words[known.length];
    const verb = command.path.slice(program.length);
    const message =
      surplus === undefined ? `these words do not fit together: ${given}` : `one word too many: ${surplus}`;
    return { message, hint: rightUsage(program, verb, command.usage, "", command) };
  }
  const group = commands.filter(({ path }) => path.startsWith(`${program} ${word} `));
  if (group.length > 0) {
    const names = group.map(({ path }) => path.slice(`${program} ${word} `.length));
    return { message: `${word} is followed by one of ${names.join(", ")}`, hint };
  }
  const verbs = commands.map(({ path }) => path.slice(program.length + 1).split(" ")[0] ?? "");
  if (!word.startsWith("-")) return { message: `no such command: ${word === "" ? '""' : word}`, ...guess(word) };
  // Options may come first; then the word that is most like a command was meant as one.
  const meant = typed.find((each) => !each.startsWith("-") && nearest(each, verbs) !== undefined);
  if (meant === undefined) return { message: "no command was given", hint };
  return { message: `no such command: ${meant}`, ...guess(meant) };

  function guess(wrong: string): { hint: string } {
    const others = WORDS_OF_OTHERS[wrong.toLowerCase()]?.find((verb) => verbs.includes(verb));
    if (others === undefined && DELETES.has(wrong.toLowerCase()) && verbs.includes("show"))
      return { hint: "kubectl delete coredump NAME, or retention, removes a crash; this program only reads" };
    const near = others ?? nearest(wrong, verbs);
    return { hint: near === undefined ? hint : `did you mean ${near}? ${program} --help tells all commands` };
  }
}

function shorten(first: string, usage: string, command: KnownCommand | undefined, typed: readonly string[]): string {
  const bare = first.replace(/^Unknown Syntax Error: /, "");
  if (bare === "Not enough positional arguments.") {
    const wanted = [...usage.matchAll(/<([A-Z]+)>/g)].map(([, name = ""]) => name);
    const missing = command === undefined ? [] : wanted.slice(positionalsOf(command, typed).length);
    return `something is missing${missing.length === 0 ? "" : `: ${missing.join(" ")}`}`;
  }
  const valued = /^Invalid option name \("(--?[^=]*)=.*"\)\.$/s.exec(bare)?.[1];
  if (valued !== undefined && optionNames(command).includes(valued)) return `${valued} takes no value`;
  return bare
    .replace(/^(?:Unsupported|Invalid) option name \("(.*)"\)\.$/s, "no such option: $1")
    .replace(/^Extraneous positional argument \("(.*)"\)\.$/s, "one word too many: $1")
    .replace(/^Not enough arguments to option (.*)\.$/s, "$1 needs a value");
}

function rightUsage(
  program: string,
  verb: string,
  usage: string,
  said: string,
  command: KnownCommand | undefined,
): string {
  const wrong = /^(?:Unknown Syntax Error: )?(?:Unsupported|Invalid) option name \("(--[^="]*)/.exec(said)?.[1];
  const near = wrong === undefined ? undefined : nearest(wrong, optionNames(command));
  const file = /option name \("(-[^-"][^"]*\.[^"]*)"\)/.exec(said)?.[1];
  const guess =
    file !== undefined
      ? `a file of that name is ./${file}; `
      : near === undefined || near === wrong
        ? ""
        : `did you mean ${near}? `;
  if (verb === "") return `${guess}${program} --help`;
  const full = withoutCommon(nameUsage(usage, command?.options ?? []));
  const right =
    full.length <= USAGE_MAX
      ? full
      : `${program}${verb} [OPTIONS]${full.replaceAll(/ \[-[^\]]*\]/g, "").slice(`${program}${verb}`.length)}`;
  return `${guess}${right}  (${program}${verb} --help tells more)`;
}

/** Find the command whose words were typed first. */
function findCommand(commands: readonly KnownCommand[], typed: readonly string[]): KnownCommand | undefined {
  return commands.find(({ path }) => {
    const verb = path.split(" ").slice(1);
    // The program's own name may be two words.
    return verb.some((_, from) => {
      const words = verb.slice(from);
      return /^[a-z]/.test(words[0] ?? "") && words.every((word, index) => typed[index] === word);
    });
  });
}

/** The typed words that are neither the command's own, nor options, nor options' values. */
function positionalsOf(command: KnownCommand, typed: readonly string[]): string[] {
  const valued = new Set(
    command.options.flatMap(({ definition }) => {
      const [names = "", value] = definition.split(" ");
      return value === undefined ? [] : names.split(",");
    }),
  );
  const own = command.path.split(" ");
  let at = 0;
  while (at < typed.length && own.includes(typed[at] ?? "")) at += 1;
  const words: string[] = [];
  let onlyWords = false;
  for (; at < typed.length; at += 1) {
    const word = typed[at] ?? "";
    if (onlyWords || !word.startsWith("-") || word === "-") words.push(word);
    else if (word === "--") onlyWords = true;
    else if (valued.has(word)) at += 1;
  }
  return words;
}

function optionNames(command: KnownCommand | undefined): string[] {
  return command?.options.flatMap(({ definition }) => (definition.split(" ")[0] ?? "").split(",")) ?? [];
}

/** Find the one that was probably meant: the same in another case, the only one that begins so, or a typing error away. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  const same = known.find((each) => each.toLowerCase() === lower);
  if (same !== undefined) return same;
  const begun = lower.replace(/^-+/, "").length < 2 ? [] : known.filter((each) => each.startsWith(lower));
  if (begun.length === 1) return begun[0];
  let best: { word: string; distance: number } | undefined;
  for (const each of known) {
    const distance = distanceOf(lower, each);
    if (distance <= Math.max(1, Math.floor(each.length / 3)) && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { word: each, distance };
  }
  return best?.word;
}

/** Count the letters to add, drop, change or swap with the next, to make one word of the other. */
function distanceOf(a: string, b: string): number {
  // Nobody mistypes a word of a thousand letters.
  if (Math.abs(a.length - b.length) > 8) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(change, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
