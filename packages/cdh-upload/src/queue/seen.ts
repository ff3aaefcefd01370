import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";
import type { SpoolFile } from "./spool-scan.ts";

/** File systems and clocks differ by a little. */
const FUTURE_MS = 2000;

/** Remember until when crashes were reported, so that a restart does not report a backlog again. */
export class Seen {
  readonly #path: string;
  #until: number;
  #pending: number;

  private constructor(path: string, until: number) {
    this.#path = path;
    this.#until = until;
    this.#pending = until;
  }

  /** Nothing is remembered yet. */
  static empty(path: string): Seen {
    return new Seen(path, 0);
  }

  /** Read the file; without one everything is new. */
  static async open(path: string): Promise<Seen> {
    const state = await readStateFile(path);
    const until = typeof state === "object" && state !== null && "seenUntil" in state ? Number(state.seenUntil) : 0;
    return new Seen(path, Number.isFinite(until) ? until : 0);
  }

  /** Tell whether a bundle was published after the last look that was saved. */
  isNew(file: SpoolFile): boolean {
    this.#pending = Math.max(this.#pending, file.changedAt);
    return file.changedAt > this.#until;
  }

  /**
   * Begin at this moment where what is remembered lies in the future: the clock was set back, and no crash would be new
   * until it is there again.
   */
  mindClock(now: number): void {
    if (this.#until > now + FUTURE_MS) this.#until = now;
    if (this.#pending > now + FUTURE_MS) this.#pending = this.#until;
  }

  /** Everything up to now was reported. */
  async save(): Promise<void> {
    if (this.#pending <= this.#until) return;
    this.#until = this.#pending;
    await writeStateFile(this.#path, { seenUntil: this.#until });
  }
}
