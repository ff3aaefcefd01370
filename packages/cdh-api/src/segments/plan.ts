/** Rows of a segment. */
export const SEGMENT_ROWS = 131_072;
/** So many small segments are put together. */
const SMALL_MAX = 8;

/** A segment as its writer knows it. */
export interface KnownSegment {
  name: string;
  /** Rows in it. */
  rows: number;
  /** Of them, what the index still holds as it is there. */
  live: number;
}

/**
 * Choose segments to put together into one: those of which less than half is still so, and small ones when there are many. None
 * grows beyond {@link SEGMENT_ROWS}, so that what is written at once stays small however many dumps there are.
 * @param added rows that are to be written anyway
 */
export function chooseInputs(segments: readonly KnownSegment[], added: number): KnownSegment[] {
  const isWasted = ({ rows, live }: KnownSegment): boolean => rows > 0 && live * 2 < rows;
  const isSmall = ({ live }: KnownSegment): boolean => live * 2 < SEGMENT_ROWS;
  const small = segments.filter(isSmall);
  const wanted = small.length > SMALL_MAX ? small : segments.filter(isWasted);
  const inputs: KnownSegment[] = [];
  let rows = added;
  for (const segment of wanted.toSorted((a, b) => a.live - b.live)) {
    if (rows + segment.live > SEGMENT_ROWS) break;
    rows += segment.live;
    inputs.push(segment);
  }
  // One that only grows older is left where it is.
  return inputs.length === 1 && inputs[0] !== undefined && !isWasted(inputs[0]) ? [] : inputs;
}
