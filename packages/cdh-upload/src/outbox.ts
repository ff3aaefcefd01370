/** More waiting messages than this are dropped: uploads must never wait for whoever is told about them. */
const WAITING_MAX = 1000;

/** Do small jobs one after the other, beside the uploads. */
export class Outbox {
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** Add a job, which must not throw. @returns false when too many wait already */
  add(job: () => Promise<void>): boolean {
    if (this.#waiting >= WAITING_MAX) return false;
    this.#waiting += 1;
    this.#last = this.#last.then(job).finally(() => {
      this.#waiting -= 1;
    });
    return true;
  }

  /** Wait for what was added so far. */
  async settle(): Promise<void> {
    await this.#last;
  }
}
