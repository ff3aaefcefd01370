import { Command } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { defaultedFlag, formatFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { formatTable, printable, stringifyJson, type Column } from "@cdh/core/output";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { readClusterStatus, type ClusterStatus, type NodeStatus } from "../kube/node-status.ts";
import { InspectCommand } from "./inspect-command.ts";

/** Tell on one screen whether every node captures. */
export class StatusCommand extends InspectCommand {
  static override paths = [["status"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "whether every node captures crashes, and what waits on it",
    details: `
      With your own rights: list pods and nodes, and get pods/proxy for the metrics of the DaemonSet's pods. What you may
      not see is said, and the rest is shown.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when a node does not capture, or it is not known.
    `,
    examples: [
      ["All nodes", "$0 status"],
      ["For a script", "$0 status -n core-dump-handler -o json"],
    ],
  });

  output = formatFlag();
  selector = defaultedFlag(
    "-l,--selector",
    "SELECTOR",
    "app.kubernetes.io/name=core-dump-handler",
    "labels of the DaemonSet's pods",
  );

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const status = await readClusterStatus(await this.cluster(), {
      selector: this.selector,
      namespace: this.namespace,
      signal: this.context.stopSignal,
    });
    if (format === "json") this.write(`${stringifyJson(status, 2)}\n`);
    else if (format === "jsonl") this.write(status.nodes.map((node) => `${stringifyJson(node)}\n`).join(""));
    else this.write(describe(status, this.context.clock.now()));
    return status.nodes.every(({ captures }) => captures === true) ? EXIT.ok : EXIT.incomplete;
  }
}

function describe({ nodes, missingRights }: ClusterStatus, now: number): string {
  const capturing = nodes.filter(({ captures }) => captures === true).length;
  const unknown = nodes.filter(({ captures }) => captures === undefined).length;
  const versions = new Set(nodes.flatMap(({ composerVersion }) => composerVersion ?? []));
  const lines = [
    `${capturing} of ${nodes.length} ${nodes.length === 1 ? "node captures" : "nodes capture"}${unknown === 0 ? "" : `, ${unknown} not known`}`,
    ...(versions.size > 1
      ? [`${versions.size} versions of the composer are installed: ${[...versions].join(", ")}`]
      : []),
    ...missingRights.map((right) => `missing right: ${right}`),
    "",
  ];
  const notes = nodes.flatMap((node) => node.notes.map((note) => `${node.node}: ${note}`));
  return `${lines.map((line) => `${printable(line)}\n`).join("")}${formatTable(columns(now), nodes)}${notes.map((note) => `${printable(note)}\n`).join("")}`;
}

function columns(now: number): Column<NodeStatus>[] {
  const unless = <Value>(value: Value | undefined, text: (value: Value) => string): string =>
    value === undefined ? "?" : text(value);
  return [
    { header: "NODE", value: ({ node }) => node || "-" },
    { header: "POD", value: ({ phase, ready }) => (phase === "Running" ? (ready ? "ready" : "not ready") : phase) },
    { header: "CAPTURES", value: ({ captures }) => unless(captures, (yes) => (yes ? "yes" : "NO")) },
    { header: "COMPOSER", value: ({ composerVersion }) => composerVersion ?? "?" },
    { header: "DRIFT", align: "right", value: ({ drifts }) => unless(drifts, String) },
    {
      header: "SPOOL",
      align: "right",
      value: ({ spoolBundles, spoolBytes }) =>
        unless(spoolBundles, (count) => (count === 0 ? "0" : `${count} (${formatBytes(spoolBytes ?? 0)})`)),
    },
    {
      header: "OLDEST",
      align: "right",
      value: ({ spoolBundles, oldestAgeSeconds }) =>
        spoolBundles === 0 ? "-" : unless(oldestAgeSeconds, (seconds) => formatDuration(seconds * 1000)),
    },
    { header: "QUARANTINE", align: "right", value: ({ quarantineBundles }) => unless(quarantineBundles, String) },
    { header: "STORE", value: ({ storeAvailable }) => unless(storeAvailable, (yes) => (yes ? "answers" : "DOWN")) },
    {
      header: "LAST UPLOAD",
      value: ({ lastUploadAt, spoolBundles }) =>
        lastUploadAt === undefined
          ? spoolBundles === undefined
            ? "?"
            : "none yet"
          : `${formatDuration(Math.max(0, now - lastUploadAt))} ago`,
    },
  ];
}
