import { Builtins, Cli, Command, Option, UsageError, type BaseContext, type CommandClass } from "clipanion";
import { systemClock, type Clock } from "../base/clock.ts";
import { CdhError } from "../base/errors.ts";
import { EXIT, EXIT_STATUS_HELP } from "../base/exit-status.ts";
import type { ForgottenFiles } from "../base/forgotten-files.ts";
import { createLogger, LOG_LEVELS, tryParseLogLevel, type Logger } from "../service/log.ts";
import { proxyEnv } from "../store/proxy-env.ts";
import { formatCompletion } from "./completion.ts";
import { watchSignals, watchUncaught } from "./ending.ts";
import { textFlag } from "./flags.ts";
import { commonLast, formatOverview } from "./help.ts";
import { describeMisuse, type KnownCommand } from "./misuse.ts";
import { OUTPUT_FORMATS, printable, type OutputFormat } from "./output.ts";
import { nameValues } from "./value-words.ts";

export { EXIT_STATUS_HELP };

/** What every command gets: streams, environment, time. Nothing else is global. */
export interface CliContext extends BaseContext {
  clock: Clock;
  program: string;
  version: string;
  /** Aborted on the first SIGINT, SIGTERM or SIGHUP; a second one, or the end of the grace, ends the process at once. */
  stopSignal: AbortSignal;
  /** Allow work to go on for so long after the first signal, in milliseconds; 3 s where nobody asks for more. */
  allowGrace?: (graceMs: number) => void;
  /** Exit status of work that was given up because of the signal: 128 and its number. */
  stoppedStatus?: () => number;
  /**
   * Leave Ctrl-C to a child that has the terminal, such as a debugger, until the returned function is called. Absent
   * where there is no terminal to share.
   */
  leaveInterrupts?: () => () => void;
  /** Files that the program forgot to close: told by the command's own logger once it has one. */
  forgottenFiles?: ForgottenFiles;
}

/** Base of every command: logging flags, output helpers, and errors shown once in one form. */
export abstract class CdhCommand extends Command<CliContext> {
  logLevel = textFlag("--log-level", "LEVEL", "trace, debug, info, warn, error or off (LOG_LEVEL)");
  logFormat = textFlag("--log-format", "FORMAT", "json or text (LOG_FORMAT; text on a terminal)");

  /** Do the command's work and return its exit status (default 0). */
  abstract run(): Promise<number | void>;

  override async execute(): Promise<number> {
    try {
      return (await this.run()) ?? EXIT.ok;
    } catch (error) {
      // clipanion itself would print the error on stdout and exit with 1.
      if (isInterruption(error, this.context.stopSignal)) {
        this.context.stderr.write(`${this.context.program}: interrupted\n`);
        return this.context.stoppedStatus?.() ?? EXIT.incomplete;
      }
      return showError(error, this.context, { commands: this.cli.definitions(), typed: this.path });
    }
  }

  /**
   * Make the logger that the flags and the environment ask for; it writes to stderr. A flag that is none is a wrong
   * command line; in the environment, where a daemon must not fail over it, the default holds instead.
   * @param beforeLine called before each line, such as to take a progress bar out of its way
   * @throws {UsageError} when a flag cannot be understood
   */
  logger(beforeLine: () => void = () => {}): Logger {
    const { env, stderr, clock, program } = this.context;
    if (this.logLevel !== undefined && tryParseLogLevel(this.logLevel) === undefined)
      throw new UsageError(`--log-level ${this.logLevel}: none of ${LOG_LEVELS.join(", ")}`);
    if (this.logFormat !== undefined && !["json", "text"].includes(this.logFormat))
      throw new UsageError(`--log-format ${this.logFormat}: none of json, text`);
    const level = tryParseLogLevel(this.logLevel ?? env["LOG_LEVEL"] ?? "info") ?? "info";
    const wanted = this.logFormat ?? env["LOG_FORMAT"] ?? (isTerminal(stderr) ? "text" : "json");
    const log = createLogger({
      program,
      level,
      format: wanted === "text" ? "text" : "json",
      clock,
      write: (line) => {
        beforeLine();
        stderr.write(line);
      },
    });
    this.context.forgottenFiles?.tellBy((path) =>
      log.error("a file was not closed: a bug, please report it", { path }),
    );
    return log;
  }

  /**
   * Give the exit status of work that shows how far it came: the signal's, when a signal ended it before it was done.
   * @param status of the work as it stands
   */
  protected endedBy(status: number): number {
    const { stopSignal, stoppedStatus } = this.context;
    return status !== EXIT.ok && stopSignal.aborted ? (stoppedStatus?.() ?? status) : status;
  }

  /** Print a line for people on stdout, made safe for the terminal. */
  say(line = ""): void {
    this.context.stdout.write(`${line}\n`);
  }
}

/** Print a completion script; every program has it. */
class CompletionCommand extends CdhCommand {
  static override paths = [["completion"]];

  static override usage = Command.Usage({
    category: "Help",
    description: "print a completion script for bash, zsh or fish",
    details: `EXIT STATUS: ${EXIT_STATUS_HELP}.`,
    examples: [["Complete in this shell", "source <($0 completion bash)"]],
  });

  shell = Option.String({ name: "SHELL" });

  override async run(): Promise<void> {
    const { program } = this.context;
    const commands = this.cli.definitions().map(({ path, description, options }) => ({
      verb: path.slice(program.length + 1),
      description: description ?? "",
      options: options.map((option) => {
        const [names = "", valueWord] = option.definition.split(" ");
        const takesValue = valueWord !== undefined;
        return { names: names.split(","), description: option.description ?? "", takesValue, valueWord };
      }),
    }));
    const isVerb = ({ verb }: { verb: string }): boolean => /^[a-z][a-z-]*$/.test(verb);
    this.context.stdout.write(formatCompletion(this.shell, program, commands.filter(isVerb)));
  }
}

/** Read the value of `-o`. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseOutputFormat(text: string): OutputFormat {
  const found = OUTPUT_FORMATS.find((format) => format === text);
  if (found === undefined) throw new UsageError(`-o ${text}: none of ${OUTPUT_FORMATS.join(", ")}`);
  return found;
}

/** Tell whether a stream is a terminal. */
export function isTerminal(stream: unknown): boolean {
  return typeof stream === "object" && stream !== null && "isTTY" in stream && stream.isTTY === true;
}

/** Tell whether a line that was written there can be taken back: on a terminal that understands more than text. */
export function canRedraw(stream: unknown): boolean {
  return isTerminal(stream) && process.env["TERM"] !== "dumb";
}

/** Tell whether to colour what goes to a stream: on a terminal, unless NO_COLOR is set; FORCE_COLOR wins. @see https://no-color.org */
export function wantsColours(stream: unknown, env: Readonly<Record<string, string | undefined>>): boolean {
  if ((env["FORCE_COLOR"] ?? "") !== "" && env["FORCE_COLOR"] !== "0") return true;
  if ((env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb") return false;
  return isTerminal(stream);
}

/** Describe a program to {@link runMain}. */
export interface Program {
  name: string;
  label: string;
  version: string;
  commands: readonly CommandClass<CliContext>[];
  /** How long its commands may go on after the first signal, in milliseconds; default 3 s. */
  graceMs?: number;
}

/**
 * Run a program's command line to its end and set the exit status. Errors go to stderr once, as
 * `program: message (CODE)` and `hint: …`; anything that is not a CdhError shows its stack and exits 1.
 */
export async function runMain(program: Program, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  // The clouds' libraries read them by themselves, for the requests that get a token.
  const { NO_PROXY } = proxyEnv(process.env);
  Object.assign(process.env, { NO_PROXY, no_proxy: NO_PROXY });
  const ending = watchSignals(program.name);
  ending.allow(program.graceMs ?? 0);
  // A closed pipe (`cdh-inspect ls | head`) ends the program quietly, as it does with other tools.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    ending.release();
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.bug);
  });
  const cli = new HelpfulCli({
    binaryName: program.name,
    binaryLabel: program.label,
    binaryVersion: program.version,
    enableColors: wantsColours(process.stdout, process.env),
  });
  for (const command of [Builtins.HelpCommand, Builtins.VersionCommand, ...program.commands, CompletionCommand]) {
    cli.register(command);
  }
  const context: CliContext = {
    ...Cli.defaultContext,
    clock: systemClock,
    program: program.name,
    version: program.version,
    stopSignal: ending.stopSignal,
    allowGrace: ending.allow,
    stoppedStatus: ending.status,
    leaveInterrupts: ending.leaveInterrupts,
    forgottenFiles: watchUncaught(program.name),
  };
  process.exitCode = await runCommandLine(cli, argv, context);
  ending.finish();
}

type CommandUsage = ReturnType<Cli<CliContext>["getUsageByIndex"]>;

/** Write help that names the values of options, and its first page with one line for each command. */
class HelpfulCli extends Cli<CliContext> {
  override usage(...args: Parameters<Cli<CliContext>["usage"]>): string {
    if ((args[0] ?? null) !== null) return super.usage(...args);
    const label = `${this.binaryLabel ?? this.binaryName}, ${this.binaryVersion ?? ""}`;
    return formatOverview({ name: this.binaryName, label }, this.definitions());
  }

  protected override getUsageByRegistration(
    ...args: Parameters<Cli<CliContext>["getUsageByRegistration"]>
  ): CommandUsage {
    return this.#named(super.getUsageByRegistration(...args));
  }

  protected override getUsageByIndex(...args: Parameters<Cli<CliContext>["getUsageByIndex"]>): CommandUsage {
    return this.#named(super.getUsageByIndex(...args));
  }

  #named({ usage, options }: CommandUsage): CommandUsage {
    const named = nameValues(usage, options);
    return { usage: named.usage, options: commonLast(named.options) };
  }
}

async function runCommandLine(cli: Cli<CliContext>, argv: readonly string[], context: CliContext): Promise<number> {
  if (argv.length === 0) {
    context.stdout.write(cli.usage());
    return EXIT.usage;
  }
  const typed = asOptions(argv, cli);
  try {
    const command = cli.process(typed, context);
    return await cli.run(command, context).catch((error: unknown) => showError(error, context));
  } catch (error) {
    return showError(error, context, { commands: cli.definitions(), typed });
  }
}

/** Understand `help`, `help COMMAND` and `version` as the options that they are here, where the program has no such command. */
function asOptions(argv: readonly string[], cli: Cli<CliContext>): string[] {
  const [word, ...rest] = argv;
  const at = cli.binaryName.split(" ").length;
  if (cli.definitions().some(({ path }) => path.split(" ")[at] === word)) return [...argv];
  if (word === "help") return [...rest, "--help"];
  return word === "version" && rest.length === 0 ? ["--version"] : [...argv];
}

/**
 * Show an error on stderr and give its exit status.
 * @param line what was typed, and what could have been, to say more about a wrong command line
 */
export function showError(
  error: unknown,
  context: Pick<CliContext, "stderr" | "program">,
  line: { commands: readonly KnownCommand[]; typed: readonly string[] } = { commands: [], typed: [] },
): number {
  const { stderr, program } = context;
  if (error instanceof CdhError) {
    stderr.write(`${program}: ${printable(error.message)} (${error.code})\n`);
    if (error.hint !== undefined) stderr.write(`hint: ${printable(error.hint)}\n`);
    return error.exitCode;
  }
  if (isUsageError(error)) {
    const { message, hint } = describeMisuse(program, error.message, line.commands, line.typed);
    stderr.write(`${program}: ${printable(message)}\nhint: ${printable(hint)}\n`);
    return EXIT.usage;
  }
  stderr.write(
    `${program}: this is a bug, please report it\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return EXIT.bug;
}

/** Tell whether an error only says that the work was given up because of the signal. */
function isInterruption(error: unknown, { aborted, reason }: AbortSignal): boolean {
  if (!aborted) return false;
  return error === reason || (error instanceof Error && (error.name === "AbortError" || error.cause === reason));
}

function isUsageError(error: unknown): error is Error & { clipanion: { type: string } } {
  return error instanceof Error && "clipanion" in error;
}
