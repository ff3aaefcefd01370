import { isMap, isPair, isScalar, parseDocument, type Pair, type YAMLMap } from "yaml";

/** A value of the chart, with its documentation. */
export interface ChartValue {
  /** `store.pvc.existingClaim`. */
  path: string[];
  /** What values.yaml sets. */
  value: unknown;
  /** The comment, on one line. */
  doc: string;
  /** JSON schema, made of the default's type and what an `@schema` line adds. */
  schema: Record<string, unknown>;
}

/** One comment of values.yaml that cannot be used, with its line. */
export class ValuesError extends Error {}

/**
 * Read values.yaml as its own documentation: `# -- …` before each value, more comment lines, and at most one
 * `# @schema {…}` with what the default's type does not tell. A map whose keys have comments is a group of values; any
 * other map is a value.
 * @throws {ValuesError} when a value has no comment, or an `@schema` line is no JSON
 */
export function readValues(text: string): ChartValue[] {
  const document = parseDocument(text);
  if (!isMap(document.contents)) throw new ValuesError("values.yaml is no map");
  const found: ChartValue[] = [];
  walk(document.contents, [], document.commentBefore ?? "", found);
  return found;
}

function walk(map: YAMLMap, path: string[], firstComment: string, found: ChartValue[]): void {
  for (const [index, item] of map.items.entries()) {
    if (!isPair(item) || !isScalar(item.key)) throw new ValuesError("a key is no text");
    const key = item.key as { value: unknown; commentBefore?: string | null };
    // The comment before a map's first key belongs to the map.
    const comment = key.commentBefore ?? (index === 0 ? firstComment : "");
    const here = [...path, String(key.value)];
    const { value } = item as Pair;
    if (isMap(value) && !/^ *--/m.test(comment)) walk(value, here, value.commentBefore ?? "", found);
    else found.push(describe(here, value, comment));
  }
}

function describe(path: string[], node: unknown, comment: string): ChartValue {
  const name = path.join(".");
  const lines = comment.split("\n").map((line) => line.trim());
  const start = lines.findLastIndex((line) => line.startsWith("--"));
  if (start < 0) throw new ValuesError(`${name} has no comment that begins with "# --"`);
  const own = lines.slice(start);
  const doc = own
    .filter((line) => !line.startsWith("@schema"))
    .join(" ")
    .replace(/^--\s*/, "")
    .trim();
  const value = (node as { toJSON(): unknown } | null)?.toJSON() ?? null;
  return { path, value, doc, schema: { ...schemaOf(value), ...extra(name, own), description: doc } };
}

function extra(name: string, lines: readonly string[]): Record<string, unknown> {
  const line = lines.find((text) => text.startsWith("@schema"));
  if (line === undefined) return {};
  try {
    return JSON.parse(line.slice("@schema".length)) as Record<string, unknown>;
  } catch {
    throw new ValuesError(`${name}: its @schema line is no JSON`);
  }
}

function schemaOf(value: unknown): Record<string, unknown> {
  if (typeof value === "boolean") return { type: "boolean" };
  if (typeof value === "number") return { type: Number.isInteger(value) ? "integer" : "number" };
  if (typeof value === "string") return { type: "string" };
  if (Array.isArray(value)) return { type: "array" };
  return value === null ? {} : { type: "object" };
}
