import { formatTime, type Crash } from "./crash.ts";
import { h, svg } from "./dom.ts";

/** Crashes within a stretch of time. */
export interface Bucket {
  /** Epoch milliseconds, inclusive; the end is the next one's start. */
  start: number;
  count: number;
}

const MINUTE = 60_000;
/** Widths that a person thinks in; the first that makes few enough bars is taken. */
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7 * 1440, 14 * 1440, 30 * 1440].map(
  (minutes) => minutes * MINUTE,
);
const BARS_MAX = 60;
const HEIGHT = 100;

/**
 * Count crashes by time.
 * @param since where the time begins; the oldest crash when left out
 */
export function bucketsOf(
  crashes: readonly Crash[],
  since: number | undefined,
  now: number,
): { widthMs: number; buckets: Bucket[] } {
  const times = crashes.map(({ time }) => time).filter((time) => time > 0);
  const from = since ?? times.reduce((oldest, time) => Math.min(oldest, time), now);
  const to = times.reduce((newest, time) => Math.max(newest, time), now);
  const span = Math.max(to - from, MINUTE);
  const widthMs = WIDTHS.find((width) => span / width <= BARS_MAX) ?? Math.ceil(span / BARS_MAX);
  const first = Math.floor(from / widthMs) * widthMs;
  const buckets = Array.from({ length: Math.floor((to - first) / widthMs) + 1 }, (_, index) => ({
    start: first + index * widthMs,
    count: 0,
  }));
  for (const time of times) {
    const bucket = buckets[Math.floor((time - first) / widthMs)];
    if (bucket !== undefined) bucket.count += 1;
  }
  return { widthMs, buckets };
}

/** Say how long a bar is. */
export function widthWords(widthMs: number): string {
  const minutes = widthMs / MINUTE;
  const [count, unit] =
    minutes < 60 ? [minutes, "minute"] : minutes < 1440 ? [minutes / 60, "hour"] : [minutes / 1440, "day"];
  const whole = Math.round(count);
  return whole === 1 ? `each ${unit}` : `every ${whole} ${unit}s`;
}

/** Draw crashes over time, with the same as a table for whoever cannot see bars. */
export function drawChart(crashes: readonly Crash[], since: number | undefined, now: number): HTMLElement {
  const { widthMs, buckets } = bucketsOf(crashes, since, now);
  const most = buckets.reduce((max, { count }) => Math.max(max, count), 0);
  const peak = buckets.find(({ count }) => count === most);
  const caption = `Crashes ${widthWords(widthMs)}${peak === undefined || most === 0 ? "" : `; most: ${most} at ${label(peak.start)}`}`;
  const bars = buckets.flatMap(({ start, count }, index) => {
    if (count === 0) return [];
    const height = Math.max(2, (count / most) * (HEIGHT - 4));
    return [
      svg(
        "rect",
        { x: index + 0.1, y: HEIGHT - height, width: 0.8, height },
        svg("title", {}, `${label(start)}: ${count}`),
      ),
    ];
  });
  const drawing = svg(
    "svg",
    {
      class: "chart",
      viewBox: `0 0 ${buckets.length} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": caption,
    },
    bars,
    svg("line", {
      class: "axis",
      x1: 0,
      x2: buckets.length,
      y1: HEIGHT,
      y2: HEIGHT,
      "vector-effect": "non-scaling-stroke",
    }),
  );
  const rows = buckets
    .filter(({ count }) => count > 0)
    .map(({ start, count }) => h("tr", {}, h("td", {}, label(start)), h("td", {}, count)));
  return h(
    "figure",
    {},
    h("figcaption", {}, caption),
    drawing,
    h(
      "div",
      { class: "ticks", "aria-hidden": "true" },
      [0, 0.25, 0.5, 0.75].map((share) =>
        h("span", {}, label(buckets[Math.floor(share * buckets.length)]?.start ?? now)),
      ),
      h("span", {}, "now"),
    ),
    h(
      "details",
      {},
      h("summary", {}, "As a table"),
      h(
        "table",
        { class: "plain" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From (UTC)"), h("th", { scope: "col" }, "Crashes"))),
        h("tbody", {}, rows),
      ),
    ),
  );
}

function label(time: number): string {
  return formatTime(time).slice(0, 16);
}
