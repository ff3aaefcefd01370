import { largest } from "../base/lists.ts";

/** The three ways to print a result. */
export const OUTPUT_FORMATS = ["table", "json", "jsonl"] as const;

/** Name a way to print a result. */
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Describe one column of a table. */
export interface Column<Row> {
  header: string;
  value: (row: Row) => string;
  align?: "left" | "right";
  /** Say it shorter where the terminal is narrow. */
  narrow?: (row: Row) => string;
  /** Left out where the terminal is too narrow even then; the lowest number goes first. */
  optional?: number;
  /** Shown where a terminal has room for it beside everything else in full, and nowhere else; the last of them goes first. */
  spare?: boolean;
  /** Cut in the middle, as a last resort, down to so many characters. */
  minWidth?: number;
}

/**
 * Make text safe to show on a terminal: control characters, escape sequences and bidirectional overrides become
 * visible `\xNN` or `\u{…}` escapes. Everything that comes from a bundle or a process goes through here.
 */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/**
 * Render JSON that is safe to show on a terminal: what {@link printable} would make visible is written as `\\uNNNN`, which
 * means the same to every parser.
 * @param indent blanks a level; on one line when left out
 */
export function stringifyJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Lay rows out under headers, two blanks apart, like kubectl does. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return formatMore(columns, rows, rows, true);
}

/** Lay rows out as wide as a table of others is. @param withHeader whether the headers stand above them */
export function formatMore<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  others: readonly Row[],
  withHeader = false,
): string {
  const cellsOf = (row: Row): string[] => columns.map((column) => printable(column.value(row)));
  const cells = rows.map(cellsOf);
  const measured = rows === others ? cells : others.map(cellsOf);
  const widths = columns.map((column, index) =>
    largest(
      measured.map((line) => line[index]?.length ?? 0),
      column.header.length,
    ),
  );
  const layOut = (line: readonly string[]): string =>
    line
      .map((cell, index) =>
        columns[index]?.align === "right" ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0),
      )
      .join("  ")
      .trimEnd();
  const lines = cells.map(layOut);
  return [...(withHeader ? [layOut(columns.map(({ header }) => header))] : []), ...lines]
    .map((line) => `${line}\n`)
    .join("");
}

/**
 * Render rows in the asked format. JSON is one object with a plural key, JSON lines one row a line.
 * @param plural the key that holds the rows, such as `bundles`
 */
export function renderRows<Row>(
  format: OutputFormat,
  plural: string,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): string {
  if (format === "json") return `${stringifyJson({ [plural]: rows }, 2)}\n`;
  if (format === "jsonl") return rows.map((row) => `${stringifyJson(row)}\n`).join("");
  return formatTable(columns, rows);
}
