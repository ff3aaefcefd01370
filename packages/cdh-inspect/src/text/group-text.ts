import type { CrashGroup } from "@cdh/core/groups/crash-groups";
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
    [
      "Shown",
      group.newestWhole === undefined ? `${group.newest}, the newest` : `${group.newestWhole}, the newest whole`,
    ],
  ];
  return lines
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name.padEnd(10)}${printable(value)}\n`)
    .join("");
}
