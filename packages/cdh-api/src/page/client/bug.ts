/** How a group stands, those that need somebody first. */
export const PHASES = ["regressed", "new", "open", "resolved", "muted"] as const;

/** Name one of {@link PHASES}. */
export type Phase = (typeof PHASES)[number];

/** A value that crashes of a group have. Times are epoch milliseconds; 0 when not known. */
export interface Seen {
  name: string;
  count: number;
  first: number;
  last: number;
}

/** One line of the list of groups: what the API's object says, as texts and numbers. */
export interface Bug {
  namespace: string;
  name: string;
  phase: Phase;
  /** Functions and program, or why and where. */
  what: string;
  summary: string;
  count: number;
  wholeCores: number;
  countedOnly: number;
  /** Epoch milliseconds; 0 when not known. */
  first: number;
  last: number;
  quietDays: number;
  signals: Seen[];
  executables: Seen[];
  workloads: Seen[];
  images: Seen[];
  nodes: Seen[];
  /** Crashes by day, `2026-11-21`. */
  days: ReadonlyMap<string, number>;
  newest: string;
  newestWhole: string;
  resolvedIn: string;
  note: string;
  stateBy: string;
  stateAt: string;
}

/** Read an object of the API; whatever is missing is empty. */
export function parseBug(value: unknown): Bug {
  const at = (...path: string[]): unknown => dig(value, path);
  const text = (...path: string[]): string => textOf(at(...path));
  const number = (...path: string[]): number => numberOf(at(...path));
  const seen = (list: string): Seen[] => listOf(at("status", list)).map(parseSeen);
  const annotation = (name: string): string => text("metadata", "annotations", `core-dump-handler.dev/${name}`);
  const executables = seen("executables");
  const summary = text("status", "summary");
  const site = text("spec", "site");
  return {
    namespace: text("metadata", "namespace"),
    name: text("metadata", "name"),
    phase: PHASES.find((phase) => phase === text("status", "phase")) ?? "open",
    what:
      text("spec", "signature") ||
      (site === "" ? `${executables[0]?.name ?? "?"}, no stack` : summary || `site ${site}`),
    summary,
    count: number("status", "count"),
    wholeCores: number("status", "wholeCores"),
    countedOnly: number("status", "countedOnly"),
    first: timeOf(at("status", "firstSeen")),
    last: timeOf(at("status", "lastSeen")),
    quietDays: number("status", "quietDays"),
    signals: seen("signals"),
    executables,
    workloads: seen("workloads"),
    images: seen("images"),
    nodes: seen("nodes"),
    days: new Map(
      listOf(at("status", "days")).map((day) => [textOf(dig(day, ["date"])), numberOf(dig(day, ["count"]))]),
    ),
    newest: text("status", "newest"),
    newestWhole: text("status", "newestWhole"),
    resolvedIn: annotation("resolved-in"),
    note: annotation("note"),
    stateBy: annotation("state-by"),
    stateAt: annotation("state-at"),
  };
}

/** What a person wants to see of the groups; an empty text wants everything. */
export interface BugFilter {
  search: string;
  namespace: string;
  /** One of {@link PHASES}; empty: those that need somebody, `all`: all of them. */
  phase: string;
}

/** Nothing is asked for. */
export const ANY_BUG: BugFilter = { search: "", namespace: "", phase: "" };

/** Choose groups: those that came back and new ones first, then those seen last. Every word must be somewhere in a line. */
export function chooseBugs(bugs: readonly Bug[], filter: BugFilter): Bug[] {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = ({ phase }: Bug): number => (phase === "regressed" ? 0 : phase === "new" ? 1 : 2);
  return bugs
    .filter(
      (bug) =>
        (filter.namespace === "" || bug.namespace === filter.namespace) &&
        (filter.phase === "all" || (filter.phase === "" ? !isSettled(bug) : bug.phase === filter.phase)) &&
        words.every((word) => searchText(bug).includes(word)),
    )
    .toSorted((left, right) => rank(left) - rank(right) || right.last - left.last);
}

/** Tell whether somebody has said that nobody need look. */
export function isSettled({ phase }: Pick<Bug, "phase">): boolean {
  return phase === "resolved" || phase === "muted";
}

function searchText({
  namespace,
  name,
  what,
  summary,
  signals,
  executables,
  workloads,
  images,
  nodes,
  note,
}: Bug): string {
  const lists = [signals, executables, workloads, images, nodes].flatMap((list) => list.map((one) => one.name));
  return [namespace, name, what, summary, note, ...lists].join("\n").toLowerCase();
}

function parseSeen(value: unknown): Seen {
  return {
    name: textOf(dig(value, ["name"])),
    count: numberOf(dig(value, ["count"])),
    first: timeOf(dig(value, ["firstSeen"])),
    last: timeOf(dig(value, ["lastSeen"])),
  };
}

function dig(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path)
    here = typeof here === "object" && here !== null ? (here as Record<string, unknown>)[key] : undefined;
  return here;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function timeOf(value: unknown): number {
  return Date.parse(textOf(value)) || 0;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
