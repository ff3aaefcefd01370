import type { DumpRecord } from "../index/dump-record.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import { addGone, type Gone, goneHash, Past } from "./past.ts";

/** What was learnt of dumps that are gone, and stands in no segment yet. */
export class PendingPast {
  /** Of dumps that no segment holds. */
  readonly #unheld = new Past();
  /** Of dumps that segments hold; reading these again tells the same. */
  #held = new Past();
  #gone: Gone = new Map();

  get isEmpty(): boolean {
    return this.#unheld.size === 0 && this.#held.size === 0 && this.#gone.size === 0;
  }

  /** Count a dump that is gone. @param segment name of the one that holds it */
  count(record: DumpRecord, segment: string | undefined): void {
    if (segment === undefined) this.#unheld.add(record);
    else {
      this.#held.add(record);
      this.note(record.stem, segment);
    }
  }

  /** Count crashes of dumps that no segment holds. */
  merge(past: Iterable<PastCrashes>): void {
    for (const one of past) this.#unheld.merge(one);
  }

  /** Note that a dump of a segment is gone, and counted. */
  note(stem: string, segment: string): void {
    addGone(this.#gone, new Map([[segment, new Set([goneHash(stem)])]]));
  }

  /** Forget what reading the segments again tells. */
  forgetHeld(): void {
    this.#held = new Past();
    this.#gone = new Map();
  }

  /** Take back what could not be written. */
  takeBack(other: PendingPast): void {
    this.merge(other.#unheld.values());
    for (const one of other.#held.values()) this.#held.merge(one);
    addGone(this.#gone, other.#gone);
  }

  past(): PastCrashes[] {
    return [...this.#unheld.values(), ...this.#held.values()];
  }

  get gone(): Gone {
    return this.#gone;
  }
}
