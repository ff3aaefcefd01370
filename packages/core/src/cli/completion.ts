import { CdhError } from "../base/errors.ts";
import { OUTPUT_FORMATS } from "./output.ts";

/** What completion needs to know of one command. */
export interface CompletedCommand {
  /** The words after the program's name, `ls`. */
  verb: string;
  description: string;
  /** `valueWord` is what help calls the value: `FORMAT`, `FILE`. */
  options: { names: readonly string[]; description: string; takesValue: boolean; valueWord?: string | undefined }[];
}

/** Shells that a completion script can be written for. */
export const COMPLETION_SHELLS = ["bash", "zsh", "fish"] as const;

/** Values that an option takes, by its name, in every program. */
const VALUES: Record<string, string> = {
  "--output": OUTPUT_FORMATS.join(" "),
  "-o": OUTPUT_FORMATS.join(" "),
  "--log-level": "trace debug info warn error off",
  "--log-format": "json text",
};

/** The values of one command's option, where they are few; `-o` takes a file in some. */
function valuesOf(name: string, { valueWord }: CompletedCommand["options"][number]): string | undefined {
  return valueWord === "FILE" ? undefined : VALUES[name];
}

/**
 * Write a completion script for a shell.
 * @throws {CdhError} CDH_CONFIG_INVALID for a shell that is not known
 */
export function formatCompletion(shell: string, program: string, commands: readonly CompletedCommand[]): string {
  if (shell === "bash") return formatBash(program, commands);
  if (shell === "zsh") return formatZsh(program, commands);
  if (shell === "fish") return formatFish(program, commands);
  throw new CdhError("CDH_CONFIG_INVALID", `no completion for ${JSON.stringify(shell)}`, {
    hint: `one of ${COMPLETION_SHELLS.join(", ")}`,
  });
}

function formatBash(program: string, commands: readonly CompletedCommand[]): string {
  const name = functionName(program);
  const cases = commands.map(
    ({ verb, options }) => `      ${verb}) words="${options.flatMap((option) => option.names).join(" ")}" ;;`,
  );
  const values = commands.flatMap(({ verb, options }) =>
    options.flatMap((option) =>
      option.names.flatMap((one) => {
        const words = valuesOf(one, option);
        return words === undefined
          ? []
          : `    "${verb} ${one}") COMPREPLY=($(compgen -W "${words}" -- "$cur")); return ;;`;
      }),
    ),
  );
  return `# bash completion for ${program}: source <(${program} completion bash)
${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=""
  case "\${COMP_WORDS[1]} $prev" in
${values.join("\n")}
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${commands.map(({ verb }) => verb).join(" ")} --help --version"
  elif [[ $cur == -* ]]; then
    case \${COMP_WORDS[1]} in
${cases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F ${name} ${program}
`;
}

function formatZsh(program: string, commands: readonly CompletedCommand[]): string {
  const name = functionName(program);
  const verbs = commands.map(({ verb, description }) => `    ${quote(`${verb}:${description}`)}`);
  const cases = commands.map(({ verb, options }) => {
    const specs = options.flatMap((option) => option.names.map((one) => quote(zshSpec(one, option))));
    return `    ${verb}) _arguments ${[...specs, "'*:file:_files'"].join(" ")} ;;`;
  });
  return `#compdef ${program}
# zsh completion for ${program}: source <(${program} completion zsh)
${name}() {
  local -a verbs
  verbs=(
${verbs.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command verbs
    return
  fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
${cases.join("\n")}
  esac
}
compdef ${name} ${program}
`;
}

function formatFish(program: string, commands: readonly CompletedCommand[]): string {
  const lines = [`# fish completion for ${program}: ${program} completion fish | source`];
  for (const { verb, description } of commands) {
    lines.push(`complete -c ${program} -n __fish_use_subcommand -f -a ${verb} -d ${quote(description)}`);
  }
  for (const { verb, options } of commands) {
    for (const option of options) {
      const { names, description, takesValue } = option;
      const flags = names.map((one) => (one.startsWith("--") ? `-l ${one.slice(2)}` : `-s ${one.slice(1)}`)).join(" ");
      const words = valuesOf(names[0] ?? "", option);
      const value = words === undefined ? (takesValue ? " -r" : "") : ` -x -a ${quote(words)}`;
      lines.push(
        `complete -c ${program} -n '__fish_seen_subcommand_from ${verb}' ${flags}${value} -d ${quote(description)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function zshSpec(name: string, option: CompletedCommand["options"][number]): string {
  const text = option.description.replaceAll(/[[\]:]/g, " ");
  const words = valuesOf(name, option);
  const value = words === undefined ? (option.takesValue ? ":value:_files" : "") : `:value:(${words})`;
  return `${name}[${text}]${value}`;
}

function functionName(program: string): string {
  return `_${program.replaceAll("-", "_")}`;
}

/** One word for a shell; newlines would end a line of the script. */
function quote(text: string): string {
  return `'${text.replaceAll(/\s+/g, " ").trim().replaceAll("'", "'\\''")}'`;
}
