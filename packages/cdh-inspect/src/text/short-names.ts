/** As many characters of a name as a person types without thinking; more where they fit several. */
const SHORTEST = 8;
/** Names that are short anyway are not worth cutting. */
const WHOLE_MAX = 16;

/**
 * Shorten bundles' names for a narrow terminal to what still means only one of them in the same place: a bundle's name starts
 * with the crash's own id.
 * @returns by the whole name; a name that only its whole tells apart is left out
 */
export function shortenNames(bundles: readonly string[]): Map<string, string> {
  const tails = bundles.map((bundle) => bundle.slice(Math.max(bundle.lastIndexOf("/"), bundle.lastIndexOf("\\")) + 1));
  const sorted = tails.toSorted();
  const shared = new Map<string, number>();
  for (const [index, name] of sorted.entries()) {
    shared.set(name, Math.max(sharedLength(name, sorted[index - 1]), sharedLength(name, sorted[index + 1])));
  }
  const short = new Map<string, string>();
  for (const [index, bundle] of bundles.entries()) {
    const name = tails[index] ?? "";
    const stem = name.replace(/\.zip$/, "");
    const common = shared.get(name) ?? 0;
    const length = stem.length <= WHOLE_MAX ? stem.length : Math.max(SHORTEST, common + 1);
    if (common < length && length < name.length) short.set(bundle, name.slice(0, length));
  }
  return short;
}

function sharedLength(left: string, right = ""): number {
  let length = 0;
  while (length < left.length && left[length] === right[length]) length += 1;
  return length;
}
