/** Make a text fit for a cell of a Markdown table. */
export function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

/** Show a text as code in a cell. */
export function codeCell(text: string): string {
  return text === "" ? "" : `\`${cell(text)}\``;
}

/** Render a table: a row of headings, then the rows. Cells are taken as they are. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(headings), line(headings.map(() => "---")), ...rows.map(line)].join("\n");
}
