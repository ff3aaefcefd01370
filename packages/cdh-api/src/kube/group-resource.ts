import { printable } from "@cdh/core/output";
import { shortDuration } from "@cdh/core/short-duration";
import { GROUP_KIND, GROUP_LIST_KIND } from "../group.ts";
import type { ViewedGroup } from "../groups/groups.ts";
import type { SeenKind } from "../groups/tally.ts";
import { groupLabelOf, groupMetadataOf, groupSummaryOf, whatOf } from "./crashgroup.ts";
import type { Column, Resource } from "./resource.ts";

/** Show the value that was seen first, and how many more there are. */
function firstOf(kind: SeenKind): (view: ViewedGroup) => string {
  return ({ group }) => {
    const [first, ...others] = group.tally.seen(kind);
    if (first === undefined) return "-";
    return `${printable(first.value)}${others.length === 0 ? "" : ` +${others.length}`}`;
  };
}

const text = (
  name: string,
  description: string,
  priority: 0 | 1,
  cell: Column<ViewedGroup>["cell"],
): Column<ViewedGroup> => ({
  name,
  type: "string",
  description,
  priority,
  cell,
});

const COLUMNS: readonly Column<ViewedGroup>[] = [
  { ...text("Name", "The group's id.", 0, ({ group }) => group.id), format: "name" },
  text("Phase", "new, regressed, open, resolved or muted.", 0, ({ phase }) => phase),
  text("Crashes", "How many there are.", 0, ({ group }) => String(group.tally.count)),
  text("Cores", "How many of their cores are whole.", 0, ({ group }) => String(group.tally.wholeCores)),
  text("First Seen", "Time since the first crash.", 0, ({ group }, now) =>
    shortDuration(now - group.tally.first * 1000),
  ),
  text("Last Seen", "Time since the last crash.", 0, ({ group }, now) => shortDuration(now - group.tally.last * 1000)),
  text("Signal", "The signal that ended the processes.", 0, firstOf("signal")),
  text("What", "The functions in which it happens, and the program.", 0, whatOf),
  text("Workloads", "What owns the pods.", 1, firstOf("workload")),
  text("First Image", "The image in which it first appeared, and how many more.", 1, firstOf("image")),
  text("Nodes", "Where it ran.", 1, firstOf("node")),
  text(
    "Newest",
    "The newest crash whose core is whole, else the newest.",
    1,
    ({ group: { tally } }) => (tally.newestWhole ?? tally.newest)?.name ?? "-",
  ),
];

/** Groups of crashes. */
export const GROUPS: Resource<ViewedGroup> = {
  kind: GROUP_KIND,
  listKind: GROUP_LIST_KIND,
  columns: COLUMNS,
  fields: {
    "metadata.name": ({ group }) => group.id,
    "metadata.namespace": ({ group }) => group.namespace,
    "spec.key": ({ group }) => group.key.key,
    "spec.signature": ({ group: { key } }) => (key.key === "signature" ? key.text : ""),
    "spec.site": ({ group: { key } }) => (key.key === "site" ? key.text : ""),
    "status.phase": ({ phase }) => phase,
  },
  labelOf: groupLabelOf,
  metadataOf: groupMetadataOf,
  summaryOf: groupSummaryOf,
  revisionOf: ({ group }) => group.revision,
};
