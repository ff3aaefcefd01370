import type { Clock } from "@cdh/core/clock";

/** Events of one pod that may be written at once, and how long it takes until it may be one more. @see client-go, tools/record, EventSourceObjectSpamFilter */
const BURST = 25;
const REFILL_MS = 5 * 60_000;

/** Different Events of one pod and reason within this time before the rest becomes one. @see client-go, tools/record, EventAggregator */
const DISTINCT_MAX = 10;
const DISTINCT_MS = 10 * 60_000;

/** Pods that are remembered; the one that was quiet for longest is forgotten first. */
const PODS_MAX = 4096;

/** What one more crash of a pod may become. Crashes that became nothing are added to the next one's count. */
export type Grant =
  | { status: "refused" }
  /** `combined`: as a part of the one Event that stands for all further ones. `held`: crashes that were refused before. */
  | { status: "granted"; combined: boolean; held: number };

interface Pod {
  tokens: number;
  /** When tokens were last added, monotonic milliseconds. */
  filledAt: number;
  /** Names of the Events by their reason, and when each was last written. */
  distinct: Map<string, Map<string, number>>;
  /** Crashes by reason that were refused. */
  held: Map<string, number>;
}

/**
 * Bound the Events of each pod as the kubelet bounds its own. Events are kept in etcd, and what makes two of them
 * different is the crashed program's to choose. So a pod has a bucket of tokens, and after some different Events the
 * rest of the same reason becomes one.
 */
export class EventBudget {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #pods = new Map<string, Pod>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /**
   * Ask for one write of an Event.
   * @param pod who it is about; @param reason of the Event; @param name what makes it different from others
   * @param count crashes that it stands for
   */
  ask(pod: string, reason: string, name: string, count: number): Grant {
    const now = this.#clock.monotonic();
    const state = this.#stateOf(pod, now);
    if (state.tokens < 1) {
      state.held.set(reason, (state.held.get(reason) ?? 0) + count);
      return { status: "refused" };
    }
    state.tokens -= 1;
    const held = state.held.get(reason) ?? 0;
    state.held.delete(reason);
    return { status: "granted", combined: isOneTooMany(state, reason, name, now), held };
  }

  #stateOf(pod: string, now: number): Pod {
    const known = this.#pods.get(pod);
    const state = known ?? { tokens: BURST, filledAt: now, distinct: new Map(), held: new Map() };
    const filled = Math.floor((now - state.filledAt) / REFILL_MS);
    state.tokens = Math.min(BURST, state.tokens + filled);
    state.filledAt += filled * REFILL_MS;
    this.#pods.delete(pod);
    this.#pods.set(pod, state);
    if (this.#pods.size > PODS_MAX) for (const oldest of this.#pods.keys()) if (this.#pods.delete(oldest)) break;
    return state;
  }
}

function isOneTooMany({ distinct }: Pod, reason: string, name: string, now: number): boolean {
  let names = distinct.get(reason);
  if (names === undefined) distinct.set(reason, (names = new Map()));
  for (const [each, at] of names) if (now - at > DISTINCT_MS) names.delete(each);
  if (!names.has(name) && names.size >= DISTINCT_MAX) return true;
  names.set(name, now);
  return false;
}
