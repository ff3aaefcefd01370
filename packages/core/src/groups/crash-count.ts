import type { Manifest } from "../bundle/manifest.ts";

/** More than any loop makes: whoever writes a larger number counts as one. */
const COUNT_MAX = 1_000_000_000;

/**
 * How many crashes a manifest stands for, and when the first of them was: one, unless it tells of crashes that a limit left out.
 * Who counts crashes adds these up.
 */
export function crashCount({ counted, crashedAt }: Pick<Manifest, "counted" | "crashedAt">): {
  count: number;
  firstAt: string;
} {
  const { count = 1, first = crashedAt } = counted ?? {};
  const isCount = Number.isSafeInteger(count) && count >= 1 && count <= COUNT_MAX;
  return isCount && first <= crashedAt ? { count, firstAt: first } : { count: 1, firstAt: crashedAt };
}
