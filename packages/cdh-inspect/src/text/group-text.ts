import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import type { SuspectNode } from "@cdh/core/groups/suspect-nodes";
import { printable } from "@cdh/core/output";
import { formatMoment } from "@cdh/core/report/moment";

/** Say what the crashes of a group have in common. Not printable yet. */
export function whatOf({ signature, summary, executables, site }: CrashGroup): string {
  if (signature !== undefined) return signature;
  if (site !== undefined) return summary ?? `site ${site}`;
  return `${executables[0] ?? "?"}, no stack`;
}

/** Show the first of a list, and how many more there are. */
export function firstOf(values: readonly string[]): string {
  const [first] = values;
  if (first === undefined) return "-";
  return values.length === 1 ? first : `${first} +${values.length - 1}`;
}

/** What else makes crashes of one bug come on one node. */
const ONE_BUG = "its pods may run there alone, or what they need is only there";
/** What else makes many bugs come on one node. */
const MANY_BUGS = "a workload that is new, or runs on this node alone, does so too";

/** Warn of nodes on which far more bugs were seen than elsewhere, with what speaks against it. Not printable yet. */
export function suspectLines(suspects: readonly SuspectNode[]): string[] {
  return suspects.map((suspect) => suspectText(suspect, "bugs that were seen on one node alone", MANY_BUGS));
}

function suspectText({ node, count, of, nodes, pValue }: SuspectNode, what: string, others: string): string {
  const chance = pValue < 1e-12 ? "below 1e-12" : pValue.toExponential(1);
  return `${node} has ${count} of ${of} ${what}; with equal shares of ${nodes} nodes the chance is ${chance}, corrected for their number. Perhaps its hardware; ${others}`;
}

/** Name the crash below a group; nothing where none is there any more. */
function shownText({ newest, newestWhole }: CrashGroup): string {
  if (newestWhole !== undefined) return `${newestWhole}, the newest whole`;
  return newest === "" ? "" : `${newest}, the newest`;
}

/** Write a group for people, above its newest whole crash. */
export function groupText(group: CrashGroup): string {
  const lines: [string, string][] = [
    ["Group", `${group.id}: ${whatOf(group)}`],
    [
      "Crashes",
      `${group.count}, ${group.wholeCores} with a whole core${group.countedOnly === 0 ? "" : `, ${group.countedOnly} without one because enough were kept`}`,
    ],
    ["Seen", `${formatMoment(group.firstSeen) || "?"} to ${formatMoment(group.lastSeen) || "?"} UTC`],
    ["Message", group.message ?? ""],
    ["Signals", group.signals.join(", ")],
    ["Workloads", group.workloads.join(", ")],
    ["Images", group.images.map((image, index) => (index === 0 ? `${image} (first)` : image)).join(", ")],
    ["Nodes", group.nodes.join(", ")],
    ["Suspect", group.suspectNode === undefined ? "" : suspectText(group.suspectNode, "of its bundles", ONE_BUG)],
    ["Shown", shownText(group)],
  ];
  return lines
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name.padEnd(10)}${printable(value)}\n`)
    .join("");
}
