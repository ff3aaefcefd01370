import { isTerminal } from "./cli.ts";
import type { Clock } from "./clock.ts";
import { formatBytes, formatDuration } from "./units.ts";

/** Show how far long work is. */
export interface Progress {
  /** Say how many bytes are done by now. */
  update(doneBytes: number): void;
  /** Take the bar away. */
  end(): void;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/**
 * Draw a bar on stderr while bytes are worked on: bytes, rate, time left. Off a terminal, nothing.
 * @param totalBytes undefined when it is not known
 */
export function startProgress(
  stderr: NodeJS.WritableStream,
  clock: Clock,
  label: string,
  totalBytes: number | undefined,
  fromBytes = 0,
): Progress {
  if (!isTerminal(stderr)) return { update: () => {}, end: () => {} };
  const started = clock.monotonic();
  let drawnAt = Number.NEGATIVE_INFINITY;
  return {
    update: (doneBytes) => {
      const now = clock.monotonic();
      if (now - drawnAt < REDRAW_MS) return;
      drawnAt = now;
      stderr.write(`\r\u001b[K${drawBar(label, doneBytes, totalBytes, doneBytes - fromBytes, now - started)}`);
    },
    end: () => {
      if (drawnAt !== Number.NEGATIVE_INFINITY) stderr.write("\r\u001b[K");
    },
  };
}

/** Draw one state of the bar. */
export function drawBar(
  label: string,
  doneBytes: number,
  totalBytes: number | undefined,
  workedBytes: number,
  elapsedMs: number,
): string {
  const rate = elapsedMs <= 0 ? 0 : workedBytes / (elapsedMs / 1000);
  const speed = `${formatBytes(rate)}/s`;
  if (totalBytes === undefined || totalBytes === 0) return `${label}  ${formatBytes(doneBytes)}  ${speed}`;
  const share = Math.min(1, doneBytes / totalBytes);
  const filled = Math.round(share * BAR_WIDTH);
  const left = rate <= 0 ? "" : `, ${formatDuration(((totalBytes - doneBytes) / rate) * 1000)} left`;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  return `${label}  [${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ${percent}  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}  ${speed}${left}`;
}
