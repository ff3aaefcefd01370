import { largest } from "../base/lists.ts";

/** Options that every command has; they come last on a help page and are left out where room is short. */
const COMMON = /^--log-(level|format)\b/;
const COMMON_INLINE = / \[--log-(level|format)[^\]]*\]/g;

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
  const width = largest(
    words.map((word) => word.length),
    0,
  );
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
