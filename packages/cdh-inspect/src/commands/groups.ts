import { Command } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { CdhError, EXIT } from "@cdh/core/errors";
import { groupCrashes, type CrashGroup } from "@cdh/core/groups/crash-groups";
import { suspectNodes, type SuspectNode } from "@cdh/core/groups/suspect-nodes";
import { printable, renderRows, type Column } from "@cdh/core/output";
import { formatMoment } from "@cdh/core/report/moment";
import { fitColumns, terminalWidth } from "@cdh/core/table-width";
import { parseLocation } from "../find/location.ts";
import { listCrashGroups } from "../kube/crashgroups.ts";
import { firstOf, suspectLines, whatOf } from "../text/group-text.ts";
import { emptyMessage, ListingCommand, type Listed } from "./listing-command.ts";

interface Groups extends Pick<Listed, "unreadable" | "found" | "place"> {
  groups: CrashGroup[];
  /** Nodes with far more than their share; of a store alone. */
  suspects?: readonly SuspectNode[];
}

/** List bugs, the one seen last first. */
export class GroupsCommand extends ListingCommand {
  static override paths = [["groups"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "one line per bug: how often, since when, in which image, on which nodes",
    details: `
      PLACE is as for \`ls\`: a directory, \`file:///…\`, \`s3://bucket/prefix\` or \`kube://namespace\`; when left out, STORE_URL, else the current
      directory. In a store only the small manifests are read; a cluster's API has counted them already.

      Crashes of one namespace are one bug when the functions in which they happened are the same; without names, when the places in the same build are. The id
      (\`bug-3f9a12bc07\`) is the same in every store. \`show\`, \`bt\`, \`get\` and the others take it for the bug's newest whole crash, as
      \`s3://cores/bug-3f9a12bc07\` or alone; \`ls --group\` lists all of them.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when some bundle could not be read.
    `,
    examples: [
      ["What crashes in a bucket", "$0 groups s3://cores"],
      ["What crashed in one version within a day", "$0 groups --image shop:1.8 --since 1d"],
      ["The crash to look at", "$0 show s3://cores/bug-3f9a12bc07"],
    ],
  });

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    const limit = this.readLimit();
    const {
      groups: all,
      unreadable,
      found,
      place,
      suspects = [],
    } = (await this.#ofCluster()) ?? (await this.#ofBundles());
    const groups = all.slice(0, limit);
    if (format === "table" && groups.length === 0) this.context.stderr.write(emptyMessage(found, place));
    else
      this.write(
        renderRows(format, "groups", groups, fitColumns(columns(groups), groups, terminalWidth(this.context.stdout))),
      );
    if (format === "table")
      for (const line of suspectLines(suspects)) this.context.stderr.write(`${printable(line)}\n`);
    if (format === "table") this.warnOf(unreadable);
    return unreadable.length > 0 ? EXIT.incomplete : EXIT.ok;
  }

  /** A cluster's API has counted them; filters choose crashes, so that those are counted here. */
  async #ofCluster(): Promise<Groups | undefined> {
    const place = this.where();
    const location = parseLocation(this.placeOf(place));
    if (location.kind !== "kube" || location.name !== "" || !this.wantsAll) return undefined;
    const client = await this.cluster();
    const { namespace = client.cluster.namespace } = location;
    const scope = namespace === "*" ? undefined : namespace;
    const groups = await listCrashGroups(client, scope, this.context.stopSignal).catch((error: unknown) => {
      // Roles of before there were groups: whoever may list the crashes can count them.
      if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED") throw error;
      this.warn(`${error.message}; counting the crashes instead`);
      return undefined;
    });
    return groups === undefined ? undefined : { groups, unreadable: [], found: 0, place };
  }

  async #ofBundles(): Promise<Groups> {
    const { all, wanted, unreadable, found, place } = await this.loadWanted();
    const readable = wanted.filter(({ error }) => error === undefined);
    // Of everything in the place, whatever is wanted: a share of a part tells nothing.
    const suspects = suspectNodes(groupCrashes(all, all).map(({ nodes }) => nodes));
    return { groups: groupCrashes(readable, all), unreadable, found, place, suspects };
  }
}

const toMinutes = (moment: string | undefined): string =>
  formatMoment(moment).slice(0, "2026-11-21 08:26".length) || "-";

const columns = (groups: readonly CrashGroup[]): Column<CrashGroup>[] => [
  { header: "GROUP", value: ({ id }) => id },
  { header: "CRASHES", align: "right", value: ({ count }) => String(count) },
  { header: "CORES", align: "right", value: ({ wholeCores }) => String(wholeCores), optional: 3 },
  { header: "FIRST SEEN (UTC)", value: ({ firstSeen }) => toMinutes(firstSeen), optional: 4 },
  { header: "LAST SEEN (UTC)", value: ({ lastSeen }) => toMinutes(lastSeen) },
  { header: "SIGNAL", value: ({ signals }) => firstOf(signals), optional: 5 },
  { header: "WORKLOADS", value: ({ workloads }) => firstOf(workloads), optional: 6, minWidth: 12 },
  { header: "FIRST IMAGE", value: ({ images }) => firstOf(images), optional: 2, minWidth: 12 },
  { header: "NODES", value: ({ nodes }) => firstOf(nodes), optional: 1, minWidth: 8 },
  { header: "WHAT", value: whatOf, minWidth: 24 },
  ...(groups.some(({ message }) => message !== undefined) ? [MESSAGE] : []),
];

const MESSAGE: Column<CrashGroup> = {
  header: "MESSAGE",
  value: ({ message }) => message ?? "-",
  optional: 7,
  minWidth: 16,
};
