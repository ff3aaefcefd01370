import { isTerminal, type CliContext } from "@cdh/core/cli";

/** Colour words for a terminal, or leave them as they are. The text must be printable already. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  cyan(text: string): string;
}

const wrap =
  (open: number, close: number) =>
  (text: string): string =>
    `\u001b[${open}m${text}\u001b[${close}m`;
const same = (text: string): string => text;

const COLOURS: Paint = {
  bold: wrap(1, 22),
  dim: wrap(2, 22),
  red: wrap(31, 39),
  yellow: wrap(33, 39),
  green: wrap(32, 39),
  cyan: wrap(36, 39),
};
const PLAIN: Paint = { bold: same, dim: same, red: same, yellow: same, green: same, cyan: same };

/** Choose colours for stdout: on a terminal, unless NO_COLOR is set; FORCE_COLOR wins. @see https://no-color.org */
export function choosePaint(context: Pick<CliContext, "stdout" | "env">): Paint {
  const { env, stdout } = context;
  if ((env["FORCE_COLOR"] ?? "") !== "" && env["FORCE_COLOR"] !== "0") return COLOURS;
  if ((env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb") return PLAIN;
  return isTerminal(stdout) ? COLOURS : PLAIN;
}
