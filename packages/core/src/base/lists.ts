/**
 * Add the items of one list to the end of another, however many there are: `push(...items)` puts them on the stack, and
 * throws from about 125,000 on.
 */
export function append<Item>(list: Item[], items: Iterable<Item>): void {
  for (const item of items) list.push(item);
}

/** Find the largest of numbers, however many there are. @returns `floor` when none is larger, or there are none */
export function largest(numbers: Iterable<number>, floor: number): number {
  let found = floor;
  for (const number of numbers) if (number > found) found = number;
  return found;
}

/** Find the smallest of numbers, however many there are. @returns `ceiling` when none is smaller, or there are none */
export function smallest(numbers: Iterable<number>, ceiling: number): number {
  let found = ceiling;
  for (const number of numbers) if (number < found) found = number;
  return found;
}
