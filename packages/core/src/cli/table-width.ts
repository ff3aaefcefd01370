import { isTerminal } from "./cli.ts";
import { printable, type Column } from "./output.ts";

const GAP = 2;

/** Tell how wide a terminal is; undefined where the output goes elsewhere, and every column is shown whole. */
export function terminalWidth(stream: unknown): number | undefined {
  if (!isTerminal(stream)) return undefined;
  const { columns } = stream as { columns?: number };
  return columns === undefined || columns <= 0 ? undefined : columns;
}

/**
 * Make a table fit a terminal: leave out what is only shown where there is room, say things shorter, then leave columns out, then cut in the middle, and no more of it than is
 * needed.
 * @param width in characters; undefined leaves out what is only shown where there is room
 */
export function fitColumns<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number | undefined,
): Column<Row>[] {
  let fitted = [...columns];
  if (width === undefined) return fitted.filter(({ spare }) => spare !== true);
  const excess = (): number => {
    const widths = fitted.map((column) => widthOf(column, rows));
    return widths.reduce((sum, one) => sum + one + GAP, -GAP) - width;
  };
  for (const column of columns.filter(({ spare }) => spare === true).toReversed()) {
    if (excess() <= 0) return fitted;
    fitted = fitted.filter((one) => one !== column);
  }
  for (const column of columns.toReversed()) {
    if (excess() <= 0) return fitted;
    const { narrow } = column;
    if (narrow !== undefined) fitted = fitted.map((one) => (one === column ? { ...one, value: narrow } : one));
  }
  const optional = columns.filter((column) => column.optional !== undefined);
  for (const { header } of optional.toSorted((left, right) => (left.optional ?? 0) - (right.optional ?? 0))) {
    if (excess() <= 0) return fitted;
    fitted = fitted.filter((one) => one.header !== header);
  }
  const cuttable = fitted.filter((column) => column.minWidth !== undefined);
  for (const column of cuttable.toSorted((left, right) => widthOf(right, rows) - widthOf(left, rows))) {
    const over = excess();
    if (over <= 0) return fitted;
    const room = Math.max(column.minWidth ?? 0, widthOf(column, rows) - over);
    fitted = fitted.map((one) =>
      one === column ? { ...one, value: (row) => cutMiddle(column.value(row), room) } : one,
    );
  }
  return fitted;
}

/** Cut a text in the middle: the ends of names tell most. */
export function cutMiddle(text: string, max: number): string {
  const shown = printable(text);
  if (shown.length <= max) return text;
  const end = Math.floor((max - 1) / 2);
  return `${shown.slice(0, max - 1 - end)}…${shown.slice(shown.length - end)}`;
}

function widthOf<Row>(column: Column<Row>, rows: readonly Row[]): number {
  return rows.reduce((widest, row) => Math.max(widest, printable(column.value(row)).length), column.header.length);
}
