const STEPS = [
  ["minute", 60_000],
  ["hour", 3_600_000],
  ["day", 86_400_000],
] as const;

/** Say how long ago a time was. @param time epoch milliseconds; 0 for not known */
export function agoWords(time: number, now: number): string {
  if (time === 0) return "–";
  const ms = Math.max(0, now - time);
  const [unit, size] = STEPS.findLast(([, step]) => ms >= step) ?? ["minute", Number.POSITIVE_INFINITY];
  if (size === Number.POSITIVE_INFINITY) return "just now";
  const count = Math.floor(ms / size);
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}
