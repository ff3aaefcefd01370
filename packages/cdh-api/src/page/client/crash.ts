/** One line of the list: what the API's object says, as texts and numbers. */
export interface Crash {
  namespace: string;
  name: string;
  /** Epoch milliseconds; 0 when it is not known. */
  time: number;
  pod: string;
  container: string;
  /** Name of the deployment or whatever owns the pod; else the pod's. */
  workload: string;
  node: string;
  program: string;
  signal: string;
  /** Function that crashed, and its callers. */
  place: string;
  image: string;
  /** Id of the bug that it is one of. */
  group: string;
  coreBytes: number;
  bundleBytes: number;
  complete: boolean;
  truncatedBy: string;
  /** Crashes that it stands for, where a limit left them out. */
  counted: number;
  problems: number;
  keep: boolean;
}

/** Read an object of the API; whatever is missing is empty. */
export function parseCrash(value: unknown): Crash {
  const at = (...path: string[]): unknown => {
    let here: unknown = value;
    for (const key of path)
      here = typeof here === "object" && here !== null ? (here as Record<string, unknown>)[key] : undefined;
    return here;
  };
  const text = (...path: string[]): string => {
    const found = at(...path);
    return typeof found === "string" ? found : "";
  };
  const number = (...path: string[]): number => {
    const found = at(...path);
    return typeof found === "number" ? found : 0;
  };
  const labels = (at("metadata", "labels") ?? {}) as Record<string, unknown>;
  const label = (name: string): string => {
    const found = labels[`core-dump-handler.dev/${name}`];
    return typeof found === "string" ? found : "";
  };
  const pod = text("spec", "pod", "name");
  return {
    namespace: text("metadata", "namespace"),
    name: text("metadata", "name"),
    time: Date.parse(text("spec", "crashedAt") || text("metadata", "creationTimestamp")) || 0,
    pod,
    container: text("spec", "container", "name"),
    workload: text("spec", "pod", "owner", "name") || label("workload") || pod,
    node: text("spec", "node", "nodeName"),
    program: text("spec", "process", "exe") || text("spec", "process", "comm"),
    signal: text("spec", "signal", "name"),
    place: text("status", "where"),
    image: text("spec", "container", "imageRef"),
    group: label("group"),
    coreBytes: number("status", "core", "sizeBytes"),
    bundleBytes: number("status", "bundle", "sizeBytes"),
    complete: at("status", "complete") === true,
    truncatedBy: text("spec", "core", "truncatedBy"),
    counted: number("spec", "counted", "count") || 1,
    problems: number("status", "problemCount"),
    keep: label("keep") === "true",
  };
}

/** Show a time in UTC as the command line does. */
export function formatTime(time: number): string {
  return time === 0 ? "not known" : new Date(time).toISOString().slice(0, 19).replace("T", " ");
}

/** Say in a word whether the core is whole. */
export function stateOf(crash: Crash): string {
  if (crash.complete) return "complete";
  if (crash.truncatedBy === "rateLimit") return `${crash.counted.toLocaleString("en")} counted`;
  if (crash.truncatedBy === "keptEnough") return "report only";
  return crash.truncatedBy === "" ? "incomplete" : `cut (${crash.truncatedBy})`;
}
