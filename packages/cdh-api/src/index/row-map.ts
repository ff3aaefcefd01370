const FREE = -1;
const START_SLOTS = 1024;

/**
 * Find rows by a hash of theirs: two integers a slot, where a Map of texts takes ten times as much. It knows no keys: who asks
 * says which row is the right one.
 */
export class RowMap {
  #rows = new Int32Array(START_SLOTS).fill(FREE);
  #hashes = new Int32Array(START_SLOTS);
  #count = 0;

  get size(): number {
    return this.#count;
  }

  /** Find a row of a hash for which something holds; -1: there is none. */
  find(hash: number, isIt: (row: number) => boolean): number {
    const mask = this.#rows.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const row = this.#rows[slot] ?? FREE;
      if (row === FREE) return -1;
      if (this.#hashes[slot] === hash && isIt(row)) return row;
    }
  }

  /** Add a row that is not there yet. */
  add(hash: number, row: number): void {
    if ((this.#count + 1) * 10 > this.#rows.length * 7) this.#grow();
    this.#place(hash, row);
    this.#count += 1;
  }

  /** Let a row be found as another one. */
  replace(hash: number, row: number, by: number): void {
    const slot = this.#slotOf(hash, row);
    if (slot >= 0) this.#rows[slot] = by;
  }

  remove(hash: number, row: number): void {
    const mask = this.#rows.length - 1;
    let hole = this.#slotOf(hash, row);
    if (hole < 0) return;
    this.#count -= 1;
    // What comes after and would be looked for before the hole moves into it.
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = this.#rows[slot] ?? FREE;
      if (other === FREE) break;
      const home = (this.#hashes[slot] ?? 0) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#rows[hole] = other;
      this.#hashes[hole] = this.#hashes[slot] ?? 0;
      hole = slot;
    }
    this.#rows[hole] = FREE;
  }

  #slotOf(hash: number, row: number): number {
    const mask = this.#rows.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const there = this.#rows[slot] ?? FREE;
      if (there === FREE) return -1;
      if (there === row) return slot;
    }
  }

  #place(hash: number, row: number): void {
    const mask = this.#rows.length - 1;
    let slot = hash & mask;
    while (this.#rows[slot] !== FREE) slot = (slot + 1) & mask;
    this.#rows[slot] = row;
    this.#hashes[slot] = hash;
  }

  #grow(): void {
    const [rows, hashes] = [this.#rows, this.#hashes];
    this.#rows = new Int32Array(rows.length * 2).fill(FREE);
    this.#hashes = new Int32Array(rows.length * 2);
    for (let slot = 0; slot < rows.length; slot += 1) {
      const row = rows[slot] ?? FREE;
      if (row !== FREE) this.#place(hashes[slot] ?? 0, row);
    }
  }
}
