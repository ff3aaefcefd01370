import { parseArgs } from "node:util";

/** Say what to hunt in, and for how long. */
export interface FuzzOptions {
  minutes: number;
  seed: number;
  targets: string[];
  path: string | undefined;
  runs: number | undefined;
  /** Directory for findings. */
  out: string;
}

/** The help text. */
export const USAGE = `Usage: npm run fuzz -- [options]

Writes hostile input by grammar (manifests, cores, zips, seek tables, /proc texts, cgroups, runtime records, listings,
certificates, kernel words …) and holds every reader to: no error but our own, bounded time and memory, printable
output, and what a writer wrote, each reader reads. In the process, and for some of the inputs with the built programs.

  --minutes N       how long, shared by the targets (default 5)
  --seed N          where to begin (default: drawn, and printed)
  --target NAME     only this one; may be repeated
  --path P          only the one input that a finding named; with --target and --seed
  --runs N          at most so many inputs a target
  --out DIRECTORY   where findings go (default .cache/fuzz)
  --list            the targets

Ends with 1 when something was found. A finding is a folder: what broke, the smallest recipe, the input, and the command
that brings it back.
`;

/** Read the command line. @returns undefined for --help, "list" for --list @throws {Error} on a word that is none */
export function parseFuzzOptions(args: readonly string[], draw: () => number): FuzzOptions | "list" | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "5" },
      seed: { type: "string" },
      target: { type: "string", multiple: true, default: [] },
      path: { type: "string" },
      runs: { type: "string" },
      out: { type: "string", default: ".cache/fuzz" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  if (values.list) return "list";
  return {
    minutes: numberOf("--minutes", values.minutes),
    seed: values.seed === undefined ? draw() : numberOf("--seed", values.seed),
    targets: values.target,
    path: values.path,
    runs: values.runs === undefined ? undefined : numberOf("--runs", values.runs),
    out: values.out,
  };
}

function numberOf(flag: string, text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value) || value < 0) throw new Error(`${flag} ${text}: no number`);
  return value;
}
