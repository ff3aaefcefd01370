import { stat } from "node:fs/promises";
import type { Clock } from "@cdh/core/clock";
import type { Health } from "@cdh/core/http-server";

/** How long a path may take to answer, and one that hangs already, in milliseconds. */
const LIMIT_MS = 2_000;
const AGAIN_MS = 500;

/**
 * Look whether paths answer before they are used. What this program does to files holds it as a whole, metrics, probes and
 * signals too; so a file system that hangs has to be found by looks that hold only a thread each, one for each path.
 */
export class AnsweringPaths {
  readonly #paths: readonly string[];
  readonly #clock: Clock;
  readonly #looks = new Map<string, Promise<void>>();

  constructor(paths: readonly string[], clock: Clock) {
    this.#paths = paths;
    this.#clock = clock;
  }

  /** Look once. @returns the first path that does not answer; undefined when all do, missing ones included */
  async silent(signal: AbortSignal): Promise<string | undefined> {
    const limitMs = this.#looks.size > 0 ? AGAIN_MS : LIMIT_MS;
    const over = new AbortController();
    const timeout = this.#clock.sleep(limitMs, AbortSignal.any([over.signal, signal])).catch(() => {});
    await Promise.race([Promise.all(this.#paths.map((path) => this.#look(path))), timeout]);
    over.abort();
    return this.#paths.find((path) => this.#looks.has(path));
  }

  async #look(path: string): Promise<void> {
    const look =
      this.#looks.get(path) ??
      stat(path)
        .catch(() => {})
        .then(() => void this.#looks.delete(path));
    this.#looks.set(path, look);
    await look;
  }
}

/** The health of a node one of whose directories does not answer. */
export function unanswered(path: string): Health {
  return { ok: false, reasons: [`${path} does not answer: does its file system still?`] };
}

/**
 * Wait until all paths answer.
 * @param onSilent told each time that one does not
 * @returns false when the signal came first
 */
export async function untilAnswering(
  paths: AnsweringPaths,
  { clock, signal, onSilent }: { clock: Clock; signal: AbortSignal; onSilent: (path: string) => void },
): Promise<boolean> {
  for (;;) {
    const silent = await paths.silent(signal);
    if (silent === undefined) return true;
    onSilent(silent);
    if (signal.aborted) return false;
    await clock.sleep(AGAIN_MS, signal).catch(() => {});
  }
}
