import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";
import type { SpoolFile } from "./spool-scan.ts";

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

  /** Everything up to now was reported. */
  async save(): Promise<void> {
    if (this.#pending <= this.#until) return;
    this.#until = this.#pending;
    await writeStateFile(this.#path, { seenUntil: this.#until });
  }
}
