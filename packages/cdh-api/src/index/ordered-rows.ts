import { firstOf } from "./merge.ts";
import type { RecordPool } from "./record-pool.ts";
import { LINKED } from "./row-block.ts";

/** So many new rows are put in their places one by one; more are sorted with the rest. */
const INSERTS_MAX = 64;

/** The rows of one namespace, newest first, then by name. Put in order when somebody asks. */
export class OrderedRows {
  readonly #pool: RecordPool;
  #ids: number[] = [];
  /** So many from the start are in order. */
  #sorted = 0;
  #gone = 0;

  constructor(pool: RecordPool) {
    this.#pool = pool;
  }

  get count(): number {
    return this.#ids.length - this.#gone;
  }

  add(id: number): void {
    this.#ids.push(id);
  }

  /** Note that a row of it is not in the index any more: it is taken out when somebody asks. */
  noteGone(): void {
    this.#gone += 1;
  }

  /** Put other rows in the place of some. */
  replace(by: ReadonlyMap<number, number>): void {
    this.#ids = this.#ids.map((id) => by.get(id) ?? id);
  }

  /** The rows in order; the array changes with the next call. */
  inOrder(): readonly number[] {
    if (this.#gone > 0) {
      const isThere = (id: number): boolean => (this.#pool.flags(id) & LINKED) !== 0;
      const tail = this.#ids.slice(this.#sorted).filter(isThere);
      this.#ids = this.#ids.slice(0, this.#sorted).filter(isThere);
      this.#sorted = this.#ids.length;
      for (const id of tail) this.#ids.push(id);
      this.#gone = 0;
    }
    if (this.#sorted < this.#ids.length) this.#sort();
    return this.#ids;
  }

  #sort(): void {
    const order = (a: number, b: number): number => this.#compare(a, b);
    if (this.#ids.length - this.#sorted > INSERTS_MAX) this.#ids.sort(order);
    else {
      const added = this.#ids.splice(this.#sorted);
      for (const id of added)
        this.#ids.splice(
          firstOf(this.#ids, (other) => order(other, id) > 0),
          0,
          id,
        );
    }
    this.#sorted = this.#ids.length;
  }

  #compare(a: number, b: number): number {
    const pool = this.#pool;
    const [one, other] = [pool.number(a, "crashedAt"), pool.number(b, "crashedAt")];
    if (one !== other) return other - one;
    const [name, otherName] = [pool.nameAt(a), pool.nameAt(b)];
    return name === otherName ? 0 : name < otherName ? -1 : 1;
  }
}
