/** Labels of one time series: `{ reason: "timeout" }`. */
export type Labels = Readonly<Record<string, string>>;

/** A value that only grows. */
export interface Counter {
  inc(labels?: Labels, by?: number): void;
}

/** A value that goes up and down. */
export interface Gauge {
  set(value: number, labels?: Labels): void;
  /** Forget a series, such as the version that is not installed any more. */
  remove(labels: Labels): void;
}

/** Observations counted in buckets. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** The metrics of one program. Names end in their unit (`_seconds`, `_bytes`), those of counters in `_total`. */
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** @param buckets upper bounds, ascending, without `+Inf` */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** Called before each rendering, to set gauges from facts that live elsewhere. */
  onRender(update: () => void): void;
  /** Render all series in Prometheus' text format, version 0.0.4. */
  render(): string;
}

/** Content type of {@link Metrics.render}. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  lines: () => string[];
}

/** Make an empty set of metrics. A counter without labels is there from the start, as 0: absence and zero differ. */
export function createMetrics(): Metrics {
  const families: Family[] = [];
  const updates: (() => void)[] = [];
  const declare = (family: Family): void => {
    if (!/^[a-z_][a-z0-9_]*$/.test(family.name)) throw new Error(`not a metric name: ${family.name}`);
    if (families.some(({ name }) => name === family.name)) throw new Error(`metric declared twice: ${family.name}`);
    families.push(family);
  };
  return {
    counter(name, help) {
      const series = new Map<string, number>([["", 0]]);
      declare({ name, help, type: "counter", lines: () => sampleLines(name, series) });
      return {
        inc: (labels = {}, by = 1) => {
          if (Object.keys(labels).length > 0 && series.get("") === 0) series.delete("");
          const key = labelText(labels);
          series.set(key, (series.get(key) ?? 0) + by);
        },
      };
    },
    gauge(name, help) {
      const series = new Map<string, number>();
      declare({ name, help, type: "gauge", lines: () => sampleLines(name, series) });
      return {
        set: (value, labels = {}) => void series.set(labelText(labels), value),
        remove: (labels) => void series.delete(labelText(labels)),
      };
    },
    histogram(name, help, buckets) {
      const series = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>();
      declare({
        name,
        help,
        type: "histogram",
        lines: () => [...series.values()].flatMap((one) => histogramLines(name, buckets, one)),
      });
      return {
        observe: (value, labels = {}) => {
          const key = labelText(labels);
          const one = series.get(key) ?? { labels, counts: buckets.map(() => 0), sum: 0, count: 0 };
          buckets.forEach((bound, index) => {
            if (value <= bound) one.counts[index] = (one.counts[index] ?? 0) + 1;
          });
          one.sum += value;
          one.count += 1;
          series.set(key, one);
        },
      };
    },
    onRender: (update) => void updates.push(update),
    render() {
      for (const update of updates) update();
      return families
        .map(({ name, help, type, lines }) =>
          [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...lines(), ""].join("\n"),
        )
        .join("");
    },
  };
}

function sampleLines(name: string, series: ReadonlyMap<string, number>): string[] {
  return [...series].map(([labels, value]) => `${name}${labels} ${formatValue(value)}`);
}

function histogramLines(
  name: string,
  buckets: readonly number[],
  one: { labels: Labels; counts: readonly number[]; sum: number; count: number },
): string[] {
  const bucket = (bound: string, count: number): string =>
    `${name}_bucket${labelText({ ...one.labels, le: bound })} ${count}`;
  return [
    ...buckets.map((bound, index) => bucket(formatValue(bound), one.counts[index] ?? 0)),
    bucket("+Inf", one.count),
    `${name}_sum${labelText(one.labels)} ${formatValue(one.sum)}`,
    `${name}_count${labelText(one.labels)} ${one.count}`,
  ];
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function formatValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
