/** A stretch of addresses, without its end. */
export interface AddressRange {
  start: bigint;
  end: bigint;
}

/**
 * Order ranges for search; empty ones are left out. Where one lies in a hole of another, as the vDSO does in arm64's
 * dynamic loader, the inner one is found in its range and the outer one around it.
 * @returns a function that finds the range that an address is in
 */
export function makeRangeIndex<Range extends AddressRange>(
  given: readonly Range[],
): (address: bigint) => Range | undefined {
  const ranges = given
    .filter(({ start, end }) => end > start)
    .toSorted((left, right) => (left.start < right.start ? -1 : left.start > right.start ? 1 : 0));
  const reach: bigint[] = [];
  for (const { end } of ranges) reach.push(end > (reach.at(-1) ?? 0n) ? end : (reach.at(-1) ?? 0n));
  return (address) => {
    let low = 0;
    let high = ranges.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((ranges[middle]?.start ?? 0n) <= address) low = middle;
      else high = middle - 1;
    }
    for (; low >= 0 && (reach[low] ?? 0n) > address; low -= 1) {
      const range = ranges[low];
      if (range !== undefined && address >= range.start && address < range.end) return range;
    }
    return undefined;
  };
}
