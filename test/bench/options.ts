import { parseArgs } from "node:util";

/** Memory that the crash program fills, by its names. @see test/programs/fill.c */
export const KINDS = ["mixed", "zero", "random"] as const;

/** Name one of them. */
export type Kind = (typeof KINDS)[number];

/** Handlers in the order of the tables. */
export const HANDLERS = [
  "cdc-zstd",
  "cdc-deflate",
  "cdc-none",
  "zstd-1",
  "zstd-3-T0",
  "pigz",
  "gzip-6",
  "systemd-coredump",
  "cat",
] as const;

/** Measured only when named: cdc without what it learns beside the core, and the composer of `--other`. */
export const FURTHER_HANDLERS = ["cdc-core-only", "cdc-other"] as const;

/** Name one of them. */
export type HandlerName = (typeof HANDLERS)[number] | (typeof FURTHER_HANDLERS)[number];

const ALL_HANDLERS = [...HANDLERS, ...FURTHER_HANDLERS];

/** From this size on a run is long enough to need no warm-up. */
const LARGE_MB = 2048;

/** Tell whether a size is measured without a warm-up. */
export function isLarge(sizeMb: number): boolean {
  return sizeMb >= LARGE_MB;
}

/** Say what to measure. */
export interface BenchOptions {
  sizesMb: number[];
  kinds: Kind[];
  handlers: HandlerName[];
  /** Another built `cdc` for `cdc-other`, such as an older one's. */
  other: string | undefined;
  /** Counted runs of each; below 2 GB one more comes first to warm up. */
  runs: number;
  /** File to write docs into; undefined for none. */
  docs: string | undefined;
  /** File for the raw figures, JSON. */
  json: string | undefined;
}

/** The help text. */
export const USAGE = `Usage: npm run bench -- [options]
       npm run bench -- upload [--load large|many] [--runs N] [--no-docs] [--small]     cdh-upload beside rclone, to MinIO
       npm run bench -- stacks [--no-docs] [--peers DIR]…               own stacks beside eu-stack and gdb
       npm run bench -- crash-stacks [--no-docs] [--runs N]            what stacks at crash time cost
       npm run bench -- inspect [--runs N] [--size-mb N] [--no-docs]   cdh-inspect beside gdb and unzip
       npm run bench -- api [--count N] [--namespaces N] [--docs]   cdh-api over 100,000 bundles

Crashes a program that filled its memory, and measures how long each handler holds the crashed process:
from just before the signal until its parent reaps it. Needs root on Linux and gcc. Sets kernel.core_pattern
while it runs, under the lock that the tests use, and puts it back.

  --size LIST       8M, 512M, 4G or others (default 8M,512M). 4G takes about 90 minutes for all kinds
  --kind LIST       ${KINDS.join(", ")} (default all)
  --handlers LIST   ${HANDLERS.join(", ")} (default all);
                    also ${FURTHER_HANDLERS.join(", ")}
  --other FILE      the composer for cdc-other: one that was built elsewhere, before a change
  --runs N          counted runs of each, interleaved (default 5)
  --no-docs         do not write docs/performance.md. What was not measured now stays there as it is
  --json FILE       write every single figure
`;

function listOf<T extends string>(text: string | undefined, known: readonly T[], what: string): T[] {
  if (text === undefined) return [...known];
  return text.split(",").map((word) => {
    const found = known.find((name) => name === word);
    if (found === undefined) throw new Error(`no ${what} named ${JSON.stringify(word)}; known: ${known.join(", ")}`);
    return found;
  });
}

function megabytesOf(text: string): number {
  const match = /^(\d+)([MG])$/.exec(text);
  const size = Number(match?.[1]) * (match?.[2] === "G" ? 1024 : 1);
  if (match === null || size < 1) throw new Error(`no size: ${JSON.stringify(text)}; write 8M or 4G`);
  return size;
}

/** Write a size as it is asked for: `512M`, `4G`. */
export function sizeName(megabytes: number): string {
  return megabytes % 1024 === 0 ? `${megabytes / 1024}G` : `${megabytes}M`;
}

/**
 * Read the command line.
 * @returns undefined when help was asked for
 * @throws {Error} when it can't be read
 */
export function parseBenchOptions(argv: string[], docsFile: string): BenchOptions | undefined {
  const { values } = parseArgs({
    args: argv,
    allowNegative: true,
    options: {
      size: { type: "string", default: "8M,512M" },
      kind: { type: "string" },
      handlers: { type: "string" },
      other: { type: "string" },
      runs: { type: "string", default: "5" },
      docs: { type: "boolean", default: true },
      json: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${values.runs} is no number of runs`);
  return {
    sizesMb: values.size.split(",").map(megabytesOf),
    kinds: listOf(values.kind, KINDS, "kind"),
    handlers: values.handlers === undefined ? [...HANDLERS] : listOf(values.handlers, ALL_HANDLERS, "handler"),
    other: values.other,
    runs,
    docs: values.docs ? docsFile : undefined,
    json: values.json,
  };
}
