import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { CdhError, EXIT } from "@cdh/core/errors";
import { renderRows, type Column } from "@cdh/core/output";
import { tryParseSignal, signalName } from "@cdh/core/signals";
import { fitColumns, terminalWidth } from "@cdh/core/table-width";
import { formatBytes } from "@cdh/core/units";
import { InspectCommand } from "../inspect-command.ts";
import { clusterUrl, isPlugin } from "../kube/plugin.ts";
import { summariseAll } from "../list.ts";
import { formatMoment } from "@cdh/core/report/moment";
import { parseMoment } from "../moment.ts";
import { shortenNames } from "../short-names.ts";
import { matches, newestFirst, type Summary, type SummaryFilter } from "../summary.ts";

/** List crashes, newest first. */
export class LsCommand extends InspectCommand {
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
      ["Only the names, for a script", "$0 ls -q /var/mnt/core-dump-handler/cores"],
    ],
  });

  place = Option.String({ required: false, name: "PLACE" });
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });
  quiet = Option.Boolean("-q,--quiet", false, { description: "only what `show` takes, one a line" });
  override namespace = Option.String("-n,--namespace", { description: "pod's namespace" });
  kube = Option.Boolean("--kube", false, {
    description: "the cluster's, as cdh-api shows them: PLACE kube://NAMESPACE",
  });
  allNamespaces = Option.Boolean("-A,--all-namespaces", false, { description: "with --kube: of every namespace" });
  pod = Option.String("--pod", { description: "any part of the pod's name" });
  signal = Option.String("--signal", { description: "SIGSEGV, segv or 11" });
  exe = Option.String("--exe", { description: "any part of the executable's path" });
  since = Option.String("--since", { description: "a time, or how long ago: 2026-11-21T08:00:00Z, 2h, 7d" });
  until = Option.String("--until", { description: "likewise" });

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const filter = this.#filter();
    const place = this.#where();
    const found = await this.findAll(place);
    const all = await summariseAll(found);
    const wanted = all.filter((summary) => matches(summary, filter)).toSorted(newestFirst);
    const unreadable = all.filter((summary) => summary.error !== undefined);
    if (this.quiet) this.write(wanted.map((summary) => `${summary.bundle}\n`).join(""));
    else if (format === "table" && wanted.length === 0) this.context.stderr.write(emptyMessage(found.length, place));
    else {
      const fitted = fitColumns(columns(wanted, all), wanted, terminalWidth(this.context.stdout));
      this.write(renderRows(format, "bundles", wanted, fitted));
    }
    if (format === "table" || this.quiet)
      for (const { bundle, error } of unreadable) this.warn(`${bundle}: ${error?.message} (${error?.code})`);
    return unreadable.length > 0 ? EXIT.incomplete : EXIT.ok;
  }

  #where(): string {
    if (this.kube || isPlugin(this.context.program))
      return this.allNamespaces ? "kube://*" : clusterUrl(this.place ?? "", this.namespace);
    return this.place ?? (this.context.env["STORE_URL"] || ".");
  }

  #filter(): SummaryFilter {
    const now = this.context.clock.now();
    const number = this.signal === undefined ? undefined : tryParseSignal(this.signal);
    if (this.signal !== undefined && number === undefined)
      throw new CdhError("CDH_CONFIG_INVALID", `not a signal: ${this.signal}`);
    return {
      // Of a cluster's namespace, everything is wanted: crashes of hosts are in one that is no pod's.
      namespace: this.kube || isPlugin(this.context.program) ? undefined : this.namespace,
      pod: this.pod,
      exe: this.exe,
      signal: number === undefined ? undefined : signalName(number),
      since: this.since === undefined ? undefined : parseMoment(this.since, now),
      until: this.until === undefined ? undefined : parseMoment(this.until, now),
    };
  }
}

function emptyMessage(found: number, place: string): string {
  return found === 0 ? `no bundles in ${place}\n` : `none of the ${found} bundles in ${place} is what was asked for\n`;
}

function columns(rows: readonly Summary[], all: readonly Summary[]): Column<Summary>[] {
  const prefix = commonDirectory(rows.map((row) => row.bundle));
  const shortNames = shortenNames(all.map((row) => row.bundle));
  return [
    {
      header: "TIME (UTC)",
      value: (row) => formatMoment(row.crashedAt) || "-",
      narrow: (row) => formatMoment(row.crashedAt).slice(0, "2026-11-21 08:26".length) || "-",
    },
    { header: "NAMESPACE/POD", value: whereOf, minWidth: 16 },
    { header: "CONTAINER", value: (row) => row.container ?? "-", optional: 2, minWidth: 8 },
    {
      header: "EXECUTABLE",
      value: (row) => row.exe ?? "-",
      narrow: (row) => row.exe?.slice(row.exe.lastIndexOf("/") + 1) ?? "-",
      minWidth: 8,
    },
    { header: "SIGNAL", value: (row) => row.signal ?? "-" },
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
      value: (row) => row.bundle.slice(prefix),
      narrow: (row) => shortNames.get(row.bundle) ?? row.bundle.slice(prefix),
      minWidth: 8,
    },
  ];
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
