import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { CdhError, EXIT } from "@cdh/core/errors";
import { crashesOfGroup, GROUP_ID } from "@cdh/core/groups/crash-groups";
import { append } from "@cdh/core/lists";
import { formatMore, renderRows, type Column, type OutputFormat } from "@cdh/core/output";
import { formatMoment } from "@cdh/core/report/moment";
import { shortDuration } from "@cdh/core/short-duration";
import { fitColumns, terminalWidth } from "@cdh/core/table-width";
import { formatBytes } from "@cdh/core/units";
import { newestFirst, type Summary } from "../read/summary.ts";
import { asOperand } from "../text/shell-quote.ts";
import { shortenNames } from "../text/short-names.ts";
import { emptyMessage, ListingCommand } from "./listing-command.ts";

/** List crashes, newest first. */
export class LsCommand extends ListingCommand {
  static override paths = [["ls"], ["list"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "list crashes, newest first",
    details: `
      PLACE is a directory, a file, \`file:///…\` or \`s3://bucket/prefix\`; when left out, STORE_URL, else the current directory. In a store
      only the small manifests are read, many at a time.

      A bucket is opened with the same environment as cdh-upload: \`S3_ENDPOINT\`, \`S3_REGION\`, \`S3_ACCESS_KEY\`, \`S3_SECRET\`;
      without keys, the AWS default chain.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when some bundle could not be read.
    `,
    examples: [
      ["Everything in a bucket", "$0 ls s3://cores"],
      ["What crashed in a namespace within the last hour", "$0 ls s3://cores --namespace payments --since 1h"],
      ["The last ten of one image on one node", "$0 ls --image shop:1.8 --node worker-3 --limit 10"],
      ["Each new crash of a namespace as it comes", "$0 ls --kube -n shop --watch"],
      ["Only the names, for a script", "$0 ls -q /var/mnt/core-dump-handler/cores"],
    ],
  });

  quiet = Option.Boolean("-q,--quiet", false, { description: "only what `show` takes, one a line" });
  group = textFlag("--group", "GROUP", "only crashes of this bug, as `groups` names it: bug-3f9a12bc07");

  watch = Option.Boolean("-w,--watch", false, {
    description: "go on, and show each new crash as it comes, until Ctrl-C; with -o table, -o jsonl or -q",
  });

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    if (this.watch && format === "json")
      throw new CdhError("CDH_CONFIG_INVALID", "--watch writes no JSON that ends", {
        hint: "-o jsonl is one object a line",
      });
    const limit = this.readLimit();
    const group = this.group === undefined ? undefined : readGroup(this.group);
    const { found, all, wanted: matching, unreadable, place } = await this.loadWanted(group);
    const ofGroup = group === undefined || this.isOfCluster ? matching : crashesOfGroup(matching, group, all);
    const wanted = ofGroup.toSorted(newestFirst).slice(0, limit);
    if (this.quiet) this.write(namesOf(wanted));
    else if (format === "table" && wanted.length === 0) this.context.stderr.write(emptyMessage(found, place));
    else this.write(renderRows(format, "bundles", wanted, this.#columns(wanted, all)));
    if (format === "table" || this.quiet) this.warnOf(unreadable);
    if (this.watch) await this.#watch(format, group, { all, wanted });
    return unreadable.length > 0 ? EXIT.incomplete : EXIT.ok;
  }

  #columns(rows: readonly Summary[], all: readonly Summary[]): Column<Summary>[] {
    return fitColumns(columns(rows, all, this.context.clock.now()), rows, terminalWidth(this.context.stdout));
  }

  /** Show what comes, the oldest first, in the columns of what there was. */
  async #watch(
    format: OutputFormat,
    group: string | undefined,
    before: { all: Summary[]; wanted: Summary[] },
  ): Promise<void> {
    const all = [...before.all];
    let shown: readonly Summary[] = before.wanted;
    for await (const { more, wanted } of this.watchMore(group)) {
      append(all, more);
      const ofGroup = group === undefined || this.isOfCluster ? wanted : crashesOfGroup(wanted, group, all);
      const rows = ofGroup.toSorted(newestFirst).reverse();
      if (rows.length === 0) continue;
      if (this.quiet) this.write(namesOf(rows));
      else if (format === "jsonl") this.write(renderRows(format, "bundles", rows, []));
      else {
        const isFirst = shown.length === 0;
        if (isFirst) shown = rows;
        const both = [...shown, ...rows];
        this.write(formatMore(this.#columns(both, all), rows, both, isFirst));
      }
      if (format === "table" || this.quiet) this.warnOf(more.filter(({ error }) => error !== undefined));
    }
  }
}

function namesOf(rows: readonly Summary[]): string {
  return rows.map(({ bundle }) => `${asOperand(bundle)}\n`).join("");
}

/** @throws {CdhError} CDH_CONFIG_INVALID */
function readGroup(text: string): string {
  if (!GROUP_ID.test(text))
    throw new CdhError("CDH_CONFIG_INVALID", `not a group: ${text}`, {
      hint: "cdh-inspect groups shows them: bug-3f9a12bc07",
    });
  return text;
}

/** @param now epoch milliseconds */
function columns(rows: readonly Summary[], all: readonly Summary[], now: number): Column<Summary>[] {
  const prefix = commonDirectory(rows.map((row) => row.bundle));
  const shortNames = shortenNames(all.map((row) => row.bundle));
  return [
    {
      header: "TIME (UTC)",
      value: (row) => formatMoment(row.crashedAt) || "-",
      narrow: (row) => formatMoment(row.crashedAt).slice(0, "2026-11-21 08:26".length) || "-",
    },
    { header: "AGE", value: (row) => ageOf(row, now), spare: true },
    { header: "NAMESPACE/POD", value: whereOf, minWidth: 16 },
    { header: "CONTAINER", value: (row) => row.container ?? "-", optional: 2, minWidth: 8 },
    {
      header: "RESTARTS",
      align: "right",
      value: ({ restarts }) => (restarts === undefined ? "-" : String(restarts)),
      spare: true,
    },
    { header: "IMAGE", value: ({ image }) => image ?? "-", spare: true },
    {
      header: "EXECUTABLE",
      value: (row) => row.exe ?? "-",
      narrow: (row) => row.exe?.slice(row.exe.lastIndexOf("/") + 1) ?? "-",
      minWidth: 8,
    },
    { header: "SIGNAL", value: (row) => row.signal ?? "-" },
    ...(rows.some(({ where }) => where !== undefined) ? [WHERE] : []),
    {
      header: "CORE",
      align: "right",
      value: (row) => (row.coreBytes === undefined ? "-" : formatBytes(row.coreBytes)),
      optional: 3,
    },
    {
      header: "BUNDLE",
      align: "right",
      value: (row) => (row.bundleBytes === undefined ? "-" : formatBytes(row.bundleBytes)),
      optional: 1,
    },
    { header: "STATE", value: stateOf, minWidth: 8 },
    {
      header: "NAME",
      value: (row) => asOperand(row.bundle.slice(prefix)),
      narrow: (row) => asOperand(shortNames.get(row.bundle) ?? row.bundle.slice(prefix)),
      minWidth: 8,
    },
  ];
}

/** Where it crashed: left out where nothing tells. */
const WHERE: Column<Summary> = {
  header: "WHERE",
  value: (row) => row.where ?? "-",
  narrow: (row) => row.where?.split(" ← ", 1)[0] ?? "-",
  optional: 4,
  minWidth: 12,
};

function ageOf({ crashedAt = "" }: Summary, now: number): string {
  const at = Date.parse(crashedAt);
  return Number.isNaN(at) ? "-" : shortDuration(now - at);
}

/** A crash of no known pod happened on a node, and must not look as if it were a pod of a namespace. */
function whereOf({ namespace, pod, node }: Summary): string {
  if (pod !== undefined) return `${namespace ?? "?"}/${pod}`;
  return node === undefined ? "-" : `(on ${node})`;
}

function stateOf(row: Summary): string {
  if (row.error !== undefined) return "unreadable";
  if (row.complete === true) return "complete";
  if (row.complete === undefined) return "unknown";
  if (row.truncatedBy === "keptEnough") return "report only";
  if (row.count !== undefined) return `${row.count} counted`;
  return row.truncatedBy === undefined ? "incomplete" : `cut (${row.truncatedBy})`;
}

/** Length of the directory that all names share, so that it need not be shown. */
function commonDirectory(names: readonly string[]): number {
  const [first] = names;
  if (first === undefined) return 0;
  let shared = first.length;
  for (const name of names) {
    let at = 0;
    while (at < shared && name[at] === first[at]) at += 1;
    shared = at;
  }
  return Math.max(first.lastIndexOf("/", shared - 1), first.lastIndexOf("\\", shared - 1)) + 1;
}
