/** Words for the values of options whose own name does not say what to give. */
const VALUE_WORDS: Record<string, string> = {
  context: "NAME",
  "core-dir": "DIR",
  "core-pipe-limit": "NUMBER",
  "event-dir": "DIR",
  exe: "FILE",
  "host-dir": "DIR",
  "host-root": "DIR",
  interval: "TIME",
  lines: "NUMBER",
  "lock-timeout": "TIME",
  output: "FORMAT",
  "proc-root": "DIR",
  "self-test-interval": "TIME",
  set: "NAME=VALUE",
  since: "TIME",
  store: "URL",
  "suid-dumpable": "NUMBER",
  sysroot: "DIR",
  tail: "NUMBER",
  timeout: "TIME",
  until: "TIME",
  with: "DEBUGGER",
};

/** Options that every command has; they come last on a help page and are left out where room is short. */
const COMMON = /^--log-(level|format)\b/;
const COMMON_INLINE = / \[--log-(level|format)[^\]]*\]/g;

/** Give the values of options names: `-o,--output #0`, as the command-line library writes it, becomes `-o,--output FORMAT`. */
export function nameValues(text: string): string {
  return text.replaceAll(/(-[a-zA-Z-]+)((?: #\d+)+)/g, (_match, flag: string, values: string) => {
    const name = flag.replace(/^-+/, "");
    const word = VALUE_WORDS[name] ?? (name.split("-").at(-1) ?? name).toUpperCase();
    return `${flag}${` ${word}`.repeat(values.split("#").length - 1)}`;
  });
}

/** Put the options of one command before those that every command has. */
export function commonLast<Option extends { definition: string }>(options: readonly Option[]): Option[] {
  return [
    ...options.filter(({ definition }) => !COMMON.test(definition)),
    ...options.filter(({ definition }) => COMMON.test(definition)),
  ];
}

/** Take the options that every command has out of a usage line. */
export function withoutCommon(usage: string): string {
  return usage.replaceAll(COMMON_INLINE, "");
}

/** One command on the first page of help. */
export interface ListedCommand {
  /** `cdh-inspect ls [PLACE]`, options left out. */
  usage: string;
  category?: string | undefined;
  description?: string | undefined;
}

/** Write the first page of help: every command on one line. */
export function formatOverview(program: { name: string; label: string }, commands: readonly ListedCommand[]): string {
  const words = commands.map(({ usage }) => usage.slice(program.name.length + 1));
  const width = Math.max(...words.map((word) => word.length));
  const lines = [program.label, "", `Usage: ${program.name} COMMAND`];
  for (const category of new Set(commands.map((command) => command.category))) {
    lines.push("", category?.trim() ?? "Commands");
    for (const [index, command] of commands.entries()) {
      if (command.category === category)
        lines.push(`  ${(words[index] ?? "").padEnd(width)}  ${command.description?.trim() ?? ""}`.trimEnd());
    }
  }
  return `${[...lines, "", `${program.name} COMMAND --help tells a command's options, with examples.`].join("\n")}\n`;
}
