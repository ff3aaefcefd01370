import { printable } from "@cdh/core/output";
import type { GoLine } from "@cdh/unwind/go/go-program";
import type { Goroutine, Goroutines } from "@cdh/unwind/goroutines/read-goroutines";
import type { StackFrame } from "@cdh/unwind/process/read-stacks";
import { formatStack } from "./format-stacks.ts";

/** Goroutines that do the same, at the same place. */
export interface GoroutineGroup {
  goroutines: Goroutine[];
  /** `18 goroutines: chan receive in main.worker() pool.go:88`. Not printable yet. */
  title: string;
}

/** Ids of a group that are listed. */
const IDS_MAX = 8;
/** First parts of the paths of packages that come with Go; a program's own `main` is none. */
const STANDARD = new Set(
  (
    "archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go hash html image " +
    "index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv strings structs sync " +
    "syscall testing text time unicode unique unsafe vendor weak"
  ).split(" "),
);

/** How functions of the runtime's packages begin. */
const RUNTIME = ["runtime.", "runtime/", "internal/runtime/"];

/** Group goroutines that have equal stacks and wait for the same: the crashed one first, the runtime's own last, then the most. */
export function groupGoroutines(goroutines: readonly Goroutine[]): GoroutineGroup[] {
  const groups = new Map<string, Goroutine[]>();
  for (const one of goroutines) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  const rank = ([first]: readonly Goroutine[]): number =>
    first?.crashed === true ? 0 : first?.system === true ? 2 : 1;
  return [...groups.values()]
    .toSorted((left, right) => rank(left) - rank(right) || right.length - left.length)
    .map((group) => ({ goroutines: group, title: titleOf(group) }));
}

/** Write goroutines, those that do the same together; the runtime's own without stacks. @param all one block for each */
export function formatGoroutines({ version, goroutines }: Goroutines, all: boolean): string {
  const groups = all
    ? goroutines.map((one) => ({ goroutines: [one], title: titleOf([one]) }))
    : groupGoroutines(goroutines);
  const blocks = groups.map(({ goroutines: group, title }) => {
    const [first] = group;
    const stack = first?.system === true && !all ? undefined : first?.stack;
    const head = [printable(title), printable(detailsOf(group))].join("\n");
    return stack === undefined ? head : formatStack(stack, head, () => undefined);
  });
  const count = `${goroutines.length.toLocaleString("en-US")} goroutine${goroutines.length === 1 ? "" : "s"}`;
  return `${[`${count} of ${printable(version)}`, ...blocks].join("\n\n")}\n`;
}

function keyOf({ crashed, state, waitReason, createdBy, stack, system }: Goroutine): string {
  const places = stack?.frames.map(({ pc, inlined }) => `${pc}${inlined === true ? "i" : ""}`);
  const count = stack?.leftOut?.count;
  return JSON.stringify([crashed, state, waitReason, createdBy, places, count, stack?.endsHere, system]);
}

function titleOf(group: readonly Goroutine[]): string {
  const [first] = group;
  const count = `${group.length.toLocaleString("en-US")} goroutine${group.length === 1 ? "" : "s"}`;
  const what = first?.waitReason ?? first?.state ?? "";
  const place = placeOf(first?.stack?.frames ?? []);
  const who = first?.crashed === true ? " (crashed)" : first?.system === true ? " (the runtime's own)" : "";
  return `${count}: ${what}${place === undefined ? "" : ` in ${place}`}${who}`;
}

function detailsOf(group: readonly Goroutine[]): string {
  const [first] = group;
  const ids = group.slice(0, IDS_MAX).map(({ id }) => id);
  const more = group.length - ids.length;
  const parents = new Set(group.map(({ parent }) => parent));
  const by = first?.createdBy;
  const parent = parents.size === 1 && first?.parent !== undefined ? ` in goroutine ${first.parent}` : "";
  return [
    `  id ${ids.join(" ")}${more === 0 ? "" : ` and ${more.toLocaleString("en-US")} more`}`,
    ...(first?.tid === undefined ? [] : [`thread ${first.tid}`]),
    ...(by === undefined ? [] : [`created by ${lineOf(by)}${parent}`]),
  ].join(", ");
}

/** The first function that is not Go's own, else the first that is not the runtime's. */
function placeOf(frames: readonly StackFrame[]): string | undefined {
  const named = frames.filter((frame) => frame.function !== undefined && frame.signal !== true);
  const own = named.find(({ function: name = "" }) => !STANDARD.has(name.split(/[./]/, 1)[0] ?? ""));
  const other = named.find(({ function: name = "" }) => !RUNTIME.some((path) => name.startsWith(path)));
  const found = own ?? other ?? named.at(0);
  return found === undefined ? undefined : lineOf({ ...found, function: found.function ?? "" });
}

function lineOf({ function: name, file, line }: GoLine): string {
  const base = file?.slice(file.lastIndexOf("/") + 1);
  return `${name}()${base === undefined ? "" : ` ${base}:${line ?? "?"}`}`;
}
