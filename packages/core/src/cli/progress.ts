import type { Clock } from "../base/clock.ts";
import { formatBytes, formatDuration } from "../base/units.ts";
import { canRedraw } from "./cli.ts";

/** Show how far long work is. */
export interface Progress {
  /** Say how many bytes are done by now. */
  update(doneBytes: number): void;
  /** Take the bar away for a line that is about to be written; the next update draws it again. */
  clear(): void;
  /** Take the bar away for good. */
  end(): void;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/** Back to the first column, and everything behind it away. */
const ERASE = "\r\u001b[K";

/**
 * Draw a bar on stderr while bytes are worked on: bytes, rate, time left, as much of it as fits on one line. Off a
 * terminal, nothing.
 * @param totalBytes undefined when it is not known
 */
export function startProgress(
  stderr: NodeJS.WritableStream,
  clock: Clock,
  label: string,
  totalBytes: number | undefined,
  fromBytes = 0,
): Progress {
  if (!canRedraw(stderr)) return { update: () => {}, clear: () => {}, end: () => {} };
  const started = clock.monotonic();
  let drawnAt = Number.NEGATIVE_INFINITY;
  let visible = false;
  let ended = false;
  const clear = (): void => {
    if (visible) stderr.write(ERASE);
    visible = false;
    drawnAt = Number.NEGATIVE_INFINITY;
  };
  return {
    update: (doneBytes) => {
      const now = clock.monotonic();
      if (ended || now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      visible = true;
      const bar = drawBar(label, doneBytes, totalBytes, doneBytes - fromBytes, now - started, columnsOf(stderr));
      stderr.write(`${ERASE}${bar}`);
    },
    clear,
    end: () => {
      ended = true;
      clear();
    },
  };
}

/** How wide the terminal is now; people change that. */
function columnsOf(stream: object): number {
  const columns = "columns" in stream ? stream.columns : undefined;
  return typeof columns === "number" && columns > 0 ? columns : Number.POSITIVE_INFINITY;
}

/**
 * Draw one state of the bar.
 * @param columns the terminal's width; a line as wide as that would already begin a second one on some
 */
export function drawBar(
  label: string,
  doneBytes: number,
  totalBytes: number | undefined,
  workedBytes: number,
  elapsedMs: number,
  columns = Number.POSITIVE_INFINITY,
): string {
  const rate = elapsedMs <= 0 ? 0 : workedBytes / (elapsedMs / 1000);
  const speed = `${formatBytes(rate)}/s`;
  const done = formatBytes(doneBytes);
  const fit = (forms: readonly string[]): string =>
    forms.find((form) => form.length < columns) ?? (forms.at(-1) ?? "").slice(0, Math.max(0, columns - 1));
  if (totalBytes === undefined || totalBytes === 0)
    return fit([`${label}  ${done}  ${speed}`, `${label}  ${done}`, done]);
  const share = Math.min(1, doneBytes / totalBytes);
  const left = rate <= 0 ? "" : `, ${formatDuration(((totalBytes - doneBytes) / rate) * 1000)} left`;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const bytes = `${done} of ${formatBytes(totalBytes)}`;
  const bar = (width: number): string => {
    const filled = Math.round(share * width);
    return `[${"#".repeat(filled)}${".".repeat(width - filled)}] ${percent}`;
  };
  return fit([
    `${label}  ${bar(BAR_WIDTH)}  ${bytes}  ${speed}${left}`,
    `${label}  ${bar(BAR_WIDTH / 2)}  ${bytes}  ${speed}${left}`,
    `${label}  ${bar(BAR_WIDTH / 2)}  ${bytes}  ${speed}`,
    `${label}  ${bar(BAR_WIDTH / 2)}  ${bytes}`,
    `${label}  ${bar(BAR_WIDTH / 2)}`,
    `${label}  ${percent.trim()}`,
    percent.trim(),
  ]);
}
