/** A node on which far more happened than its share. */
export interface SuspectNode {
  node: string;
  /** What happened on this node, and on all. */
  count: number;
  of: number;
  /** Among how many nodes. */
  nodes: number;
  /** How likely so much or more is by chance on any of the nodes, each with the same share: exact, times the number of nodes. */
  pValue: number;
}

/** Below this a node is told. */
export const SUSPECT_BELOW = 0.001;
/** With fewer of either nothing can be told. */
const NODES_MIN = 3;
const COUNT_MIN = 4;

/**
 * Find nodes on which bugs were seen that were seen nowhere else, far more than each node's share. Bugs count and not crashes: a
 * loop of one pod is one bug. A program's bug finds its way to many nodes; failing hardware makes ever new ones on one.
 * @param bugs the nodes of each bug
 * @param nodes all that are known; those of the bugs are added
 */
export function suspectNodes(bugs: readonly (readonly string[])[], nodes: Iterable<string> = []): SuspectNode[] {
  const known = new Set([...nodes, ...bugs.flat()]);
  const counts = new Map<string, number>();
  for (const [first, second] of bugs)
    if (first !== undefined && second === undefined) counts.set(first, (counts.get(first) ?? 0) + 1);
  return testShares(counts, known.size);
}

/**
 * Test whether a node has far more than its share.
 * @param counts by node; @param nodes how many there are, those without any included
 */
export function testShares(counts: ReadonlyMap<string, number>, nodes: number): SuspectNode[] {
  const of = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (nodes < NODES_MIN) return [];
  return [...counts]
    .filter(([, count]) => count >= COUNT_MIN)
    .map(([node, count]) => ({
      node,
      count,
      of,
      nodes,
      pValue: Math.min(1, nodes * binomialTail(count, of, 1 / nodes)),
    }))
    .filter(({ pValue }) => pValue < SUSPECT_BELOW)
    .toSorted((left, right) => left.pValue - right.pValue || right.count - left.count);
}

/** Terms that are added; behind them each is far smaller than the one before. */
const TERMS_MAX = 100_000;

/** How likely `atLeast` or more of `trials` are, each with the same chance: the exact binomial distribution. */
export function binomialTail(atLeast: number, trials: number, chance: number): number {
  if (atLeast <= 0) return 1;
  if (atLeast > trials) return 0;
  let term = Math.exp(logTerm(atLeast, trials, chance));
  let sum = term;
  for (let at = atLeast; at < trials && at - atLeast < TERMS_MAX; at += 1) {
    term *= ((trials - at) / (at + 1)) * (chance / (1 - chance));
    sum += term;
    // Past the middle terms only fall.
    if (at > trials * chance && term < sum * 1e-17) break;
  }
  return Math.min(1, sum);
}

function logTerm(successes: number, trials: number, chance: number): number {
  const choose = logFactorial(trials) - logFactorial(successes) - logFactorial(trials - successes);
  return choose + successes * Math.log(chance) + (trials - successes) * Math.log1p(-chance);
}

const SMALL = 64;

/** Exact for small numbers; Stirling's series for others is off by less than 1e-15. */
function logFactorial(value: number): number {
  if (value < SMALL) {
    let sum = 0;
    for (let factor = 2; factor <= value; factor += 1) sum += Math.log(factor);
    return sum;
  }
  const x = value + 1;
  const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - 1 / (1680 * x ** 7);
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
