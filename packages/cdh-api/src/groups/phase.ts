import type { GroupState } from "../manifests/group-state.ts";
import type { Tally } from "./tally.ts";

/** How a group stands: what a person said, unless its crashes say otherwise. */
export const PHASES = ["regressed", "new", "open", "resolved", "muted"] as const;

/** Name one of {@link PHASES}. */
export type Phase = (typeof PHASES)[number];

/** A group is new for so long after its first crash. */
const NEW_MS = 24 * 3600e3;
const NEW_SECONDS = NEW_MS / 1000;

/**
 * Say how a group stands. One that was resolved has come back when it crashes afterwards in the version in which it should
 * be mended or in a later one; where versions cannot be compared, in an image in which it had not crashed before. Images that
 * crashed before and still run are no news.
 * @param nowMs epoch milliseconds
 */
export function phaseOf(tally: Tally, state: GroupState | undefined, nowMs: number): Phase {
  if (state?.state === "muted") return "muted";
  if (state?.state === "resolved") return hasCrashedSince(tally, state) ? "regressed" : "resolved";
  return tally.first > nowMs / 1000 - NEW_SECONDS ? "new" : "open";
}

function hasCrashedSince(tally: Tally, { at, resolvedIn }: GroupState): boolean {
  const since = Math.floor(at / 1000);
  if (tally.last <= since) return false;
  const images = tally.seen("image");
  // Of a process of the host no version is known.
  if (images.length === 0) return true;
  return images.some(({ value, first, last }) => {
    if (last <= since) return false;
    const order = resolvedIn === undefined ? undefined : compareVersions(tagOf(value), tagOf(resolvedIn));
    if (order !== undefined) return order >= 0;
    return first > since || (resolvedIn !== undefined && value.includes(resolvedIn));
  });
}

/** The tag of an image's name; the text itself where it has none. */
function tagOf(image: string): string {
  const [name = ""] = image.split("@", 1);
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(colon + 1) : name;
}

/** Compare versions of numbers with points between them, such as `v1.10.2`; undefined where one is none. */
function compareVersions(one: string, other: string): number | undefined {
  const [left, right] = [numbersOf(one), numbersOf(other)];
  if (left === undefined || right === undefined) return undefined;
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): number[] | undefined {
  const match = /^v?(\d{1,9}(?:\.\d{1,9}){0,5})$/.exec(version);
  return match?.[1]?.split(".").map(Number);
}
