/** One sample of a metrics page. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Read Prometheus' text format; a line that is none is left out. @see https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (match === null) continue;
    const [, name = "", inner = "", number = ""] = match;
    const labels: Record<string, string> = {};
    for (const [, key = "", value = ""] of inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[key] = value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
    const value = Number(number);
    if (!Number.isNaN(value)) samples.push({ name, labels, value });
  }
  return samples;
}

/** Get the first value of a metric; undefined when it is not there. */
export function valueOf(samples: readonly Sample[], name: string): number | undefined {
  return samples.find((sample) => sample.name === name)?.value;
}

/** Add a metric up over all its labels; 0 when it is not there. */
export function sumOf(samples: readonly Sample[], name: string): number {
  return samples.filter((sample) => sample.name === name).reduce((sum, { value }) => sum + value, 0);
}

/** Get a label of a metric whose value says nothing. */
export function labelOf(samples: readonly Sample[], name: string, label: string): string | undefined {
  return samples.find((sample) => sample.name === name)?.labels[label];
}
