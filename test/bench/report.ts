import { sizeName, type HandlerName, type Kind } from "./options.ts";
import { type Cell, type Sample, type Series } from "./run.ts";

const MIB = 1024 * 1024;

/** The middle of the values; the mean of the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = NaN, high = NaN] = [
    sorted[Math.floor((sorted.length - 1) / 2)],
    sorted[Math.ceil((sorted.length - 1) / 2)],
  ];
  return (low + high) / 2;
}

const medianOf = (series: Series | undefined, pick: (sample: Sample) => number): number =>
  median((series?.samples ?? []).map(pick));
const held = (sample: Sample): number => sample.holdMs;

function ratio(value: number, base: number): string {
  return Number.isFinite(value / base) ? (value / base).toFixed(2) : "–";
}

function milliseconds(value: number): string {
  return Number.isFinite(value) ? value.toFixed(value < 100 ? 1 : 0) : "–";
}

/** The rows of one cell, the header first. */
export function rowsOf(cell: Cell): string[][] {
  const base = medianOf(
    cell.series.find(({ name }) => name === "zstd-1"),
    held,
  );
  const rows = cell.series.map((series) => {
    const holds = series.samples.map(held);
    return [
      series.name,
      ratio(medianOf(series, held), base),
      milliseconds(medianOf(series, held)),
      `${milliseconds(Math.min(...holds))}–${milliseconds(Math.max(...holds))}`,
      milliseconds(medianOf(series, (sample) => sample.doneMs)),
      (medianOf(series, (sample) => sample.outputBytes) / MIB).toFixed(1),
      (medianOf(series, (sample) => sample.peakRssBytes) / MIB).toFixed(0),
      milliseconds(medianOf(series, (sample) => sample.cpuMs)),
    ];
  });
  return [["handler", "hold ÷ zstd -1", "hold ms", "min–max", "done ms", "output MiB", "peak MiB", "CPU ms"], ...rows];
}

/** Lay rows out for a terminal: the first column to the left, the others to the right. */
export function tableOf(rows: readonly string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((text, column) => (column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)))
        .join("  "),
    )
    .join("\n");
}

/** The same rows as a Markdown table. */
export function markdownOf(rows: readonly string[][]): string {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? "---" : "--:"))), ...body.map(line)].join("\n");
}

/** What the composer has to reach: its hold time is at most `factor` × the other's. */
export const TARGETS: { sizeMb: number; kind: Kind; factor: number; than: HandlerName }[] = [
  { sizeMb: 512, kind: "mixed", factor: 0.85, than: "zstd-1" },
  { sizeMb: 512, kind: "mixed", factor: 0.4, than: "systemd-coredump" },
  { sizeMb: 512, kind: "mixed", factor: 0.2, than: "pigz" },
  { sizeMb: 512, kind: "zero", factor: 1.6, than: "cat" },
  { sizeMb: 8, kind: "mixed", factor: 1.25, than: "zstd-1" },
];

/** Hold the targets against what was measured; those of other cells are left out. */
export function targetLines(cell: Cell): string[] {
  const ours = cell.series.find(({ name }) => name === "cdc-zstd");
  return TARGETS.filter(({ sizeMb, kind }) => sizeMb === cell.sizeMb && kind === cell.kind).flatMap(
    ({ factor, than }) => {
      const theirs = cell.series.find(({ name }) => name === than);
      if (ours === undefined || theirs === undefined) return [];
      const actual = medianOf(ours, held) / medianOf(theirs, held);
      return [
        `cdc-zstd ÷ ${than}: ${actual.toFixed(2)}, to reach ≤ ${factor.toFixed(2)}: ${actual <= factor ? "reached" : "not reached"}`,
      ];
    },
  );
}

/** Title of a cell: `512 MB, mixed`. */
export function titleOf(cell: Cell): string {
  return `${sizeName(cell.sizeMb).replace(/(?=[MG])/, " ")}B, ${cell.kind}`;
}
