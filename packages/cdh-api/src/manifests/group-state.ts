import { tryRecord } from "@cdh/core/base/records";
import type { JsonLimits } from "@cdh/core/json";

/** What a person can say about a group. */
export const GROUP_STATES = ["open", "resolved", "muted"] as const;

/** Name one of {@link GROUP_STATES}. */
export type GroupStateName = (typeof GROUP_STATES)[number];

/** What was said about a group, by whom and when. */
export interface GroupState {
  state: GroupStateName;
  /** The version, or the image, in which it should not happen any more. */
  resolvedIn?: string;
  note?: string;
  by: string;
  /** Epoch milliseconds. */
  at: number;
}

/** One is a few hundred bytes. */
export const GROUP_STATE_LIMITS: JsonLimits = { bytes: 16 * 1024, depth: 4, elements: 50 };
/** Characters of a note, and of a version. */
export const NOTE_MAX = 500;
export const VERSION_MAX = 300;
const USER_MAX = 500;

/** Read what was said; undefined when it is none of ours. */
export function parseGroupState(value: unknown): GroupState | undefined {
  const { state, resolvedIn, note, by, at } = tryRecord(value) ?? {};
  const name = GROUP_STATES.find((one) => one === state);
  const time = typeof at === "string" ? Date.parse(at) : Number.NaN;
  if (name === undefined || Number.isNaN(time)) return undefined;
  const text = (given: unknown, max: number): string | undefined =>
    typeof given === "string" && given !== "" ? given.slice(0, max) : undefined;
  const version = text(resolvedIn, VERSION_MAX);
  const said = text(note, NOTE_MAX);
  return {
    state: name,
    ...(version === undefined ? {} : { resolvedIn: version }),
    ...(said === undefined ? {} : { note: said }),
    by: text(by, USER_MAX) ?? "",
    at: time,
  };
}
