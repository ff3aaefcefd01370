import { h, svg } from "./dom.ts";

const DAY = 24 * 3_600_000;
const HEIGHT = 24;

/** Count crashes of the last days, the oldest first. @param now epoch milliseconds */
export function lastDays(
  days: ReadonlyMap<string, number>,
  count: number,
  now: number,
): { date: string; count: number }[] {
  return Array.from({ length: count }, (_, index) => {
    const date = new Date(now - (count - 1 - index) * DAY).toISOString().slice(0, 10);
    return { date, count: days.get(date) ?? 0 };
  });
}

/** Draw crashes by day in a line's height; in words for whoever cannot see bars. */
export function drawSparkline(days: ReadonlyMap<string, number>, count: number, now: number): HTMLElement {
  const bars = lastDays(days, count, now);
  const most = bars.reduce((max, bar) => Math.max(max, bar.count), 0);
  const sum = bars.reduce((total, bar) => total + bar.count, 0);
  const words = `${sum} in ${count} days${most === 0 ? "" : `; most: ${most} on ${bars.find((bar) => bar.count === most)?.date ?? ""}`}`;
  const drawing = svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${count} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": words,
    },
    bars.flatMap((bar, index) => {
      if (bar.count === 0) return [];
      const height = Math.max(3, (bar.count / most) * HEIGHT);
      return [
        svg(
          "rect",
          { x: index + 0.1, y: HEIGHT - height, width: 0.8, height },
          svg("title", {}, `${bar.date}: ${bar.count}`),
        ),
      ];
    }),
  );
  return h("span", { class: "spark", title: words }, drawing);
}
