import type { ChartValue } from "./values.ts";

interface Closed {
  type: "object";
  additionalProperties: false;
  properties: Record<string, unknown>;
}

/** Render values.schema.json: closed at every level, so that a misspelt value is refused. */
export function renderSchema(values: readonly ChartValue[]): string {
  const root: Closed = closed();
  for (const { path, schema } of values) {
    let level = root;
    for (const key of path.slice(0, -1)) {
      level.properties[key] ??= closed();
      level = level.properties[key] as Closed;
    }
    level.properties[path.at(-1) ?? ""] = schema;
  }
  const title = "Values of the chart core-dump-handler";
  return `${JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", title, ...root }, null, 2)}\n`;
}

function closed(): Closed {
  return { type: "object", additionalProperties: false, properties: {} };
}

const BEGIN = "<!-- values: generated from values.yaml -->";
const END = "<!-- end of values -->";

/**
 * Put the tables of values between the two marks of a README.
 * @throws {Error} when a mark is missing
 */
export function renderReadme(readme: string, values: readonly ChartValue[]): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the README has no "${BEGIN}" … "${END}"`);
  const groups = Map.groupBy(values, ({ path }) => (path.length === 1 ? "" : (path[0] ?? "")));
  const tables = [...groups].map(([group, members]) => {
    const rows = members.map(
      ({ path, value, doc }) => `| \`${path.join(".")}\` | ${cell(value)} | ${escapeCell(doc)} |`,
    );
    return [`### ${group === "" ? "Whole chart" : group}`, "", "| value | default | |", "|---|---|---|", ...rows].join(
      "\n",
    );
  });
  return `${readme.slice(0, begin)}${BEGIN}\n\n${tables.join("\n\n")}\n\n${readme.slice(end)}`;
}

function cell(value: unknown): string {
  return value === "" || value === null ? "" : `\`${escapeCell(JSON.stringify(value))}\``;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}
