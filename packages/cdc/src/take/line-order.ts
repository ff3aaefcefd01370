/** Whom a place in the line counts for. Both are chosen by the cluster, never by the crashed process. */
export interface Owner {
  /** The namespace, or what stands for it. */
  group: string;
  /** The pod, or what stands for it; pods of two namespaces are two. */
  member: string;
}

/** Somebody who waits for a slot. */
export interface Waiter extends Owner {
  /** Epoch milliseconds. */
  since: number;
}

/** A slot as its file tells. */
export interface Slot {
  /** Who has it, or had it last. */
  owner: Owner | undefined;
  isHeld: boolean;
  /** When its holder took it, epoch milliseconds; 0 when nobody ever did. */
  takenAt: number;
}

/** Somebody who holds a slot. */
export interface Holding extends Owner {
  /** Which of the slots. */
  index: number;
  /** For how long, milliseconds. */
  heldMs: number;
  /** Its core comes slower than a slot is worth. */
  trickles: boolean;
}

/** A holder keeps a slot for so many milliseconds although others have fewer than its namespace or pod. */
const UNEQUAL_SHARE_MS = 250;

/** A holder keeps a slot for so many milliseconds although somebody without any waits. */
const EQUAL_SHARE_MS = 2_000;

/** After so many milliseconds a holder no longer leaves it to the one before it to make way: that one may be stuck. */
const LEFT_TO_OTHERS_MS = 4_000;

/**
 * Say who is next: of the namespace that holds the fewest slots, the pod that holds the fewest, and of that the one who
 * has waited longest. Who had the last turn comes after those who did not.
 */
export function nextInLine<T extends Waiter>(waiters: readonly T[], slots: readonly Slot[]): T | undefined {
  const last = lastServed(slots);
  let best: { waiter: T; rank: readonly number[] } | undefined;
  for (const waiter of waiters) {
    const rank = [
      held(slots, waiter, "group"),
      last?.group === waiter.group ? 1 : 0,
      held(slots, waiter, "member"),
      last?.group === waiter.group && last.member === waiter.member ? 1 : 0,
      waiter.since,
    ];
    if (best === undefined || isBefore(rank, best.rank)) best = { waiter, rank };
  }
  return best?.waiter;
}

/** Say whether a waiter is among the next ones for whom slots are free; nobody goes before the first in any case. */
export function mayTry<T extends Waiter>(me: T, waiters: readonly T[], slots: readonly Slot[]): boolean {
  const future = slots.map((slot) => ({ ...slot }));
  const rest = [...waiters];
  for (;;) {
    const next = nextInLine(rest, future);
    if (next === undefined) return true;
    if (next === me) return true;
    const free = future.find(({ isHeld }) => !isHeld);
    // The next one is not me, and takes the last free slot.
    if (free === undefined || !future.some((slot) => slot !== free && !slot.isHeld)) return false;
    Object.assign(free, { owner: next, isHeld: true, takenAt: Number.MAX_SAFE_INTEGER } satisfies Slot);
    rest.splice(rest.indexOf(next), 1);
  }
}

/**
 * Say whether a holder makes way for the one who is next: at once where its core trickles, soon where its namespace or pod
 * has more slots than it would leave the other, and after a while where the other has none. Of several holders alike the
 * one who took its slot first makes way, alone.
 */
export function makesWay(mine: Holding, next: Owner, slots: readonly Slot[]): boolean {
  const { heldMs, trickles } = mine;
  // Whoever waits takes that one.
  if (slots.some(({ isHeld }) => !isHeld)) return false;
  if (trickles) return true;
  const by = mine.group === next.group ? "member" : "group";
  const difference = held(slots, mine, by) - held(slots, next, by);
  if (heldMs < LEFT_TO_OTHERS_MS && isAnotherFirst(mine, slots, by)) return false;
  return (difference >= 2 && heldMs >= UNEQUAL_SHARE_MS) || (difference >= 1 && heldMs >= EQUAL_SHARE_MS);
}

function held(slots: readonly Slot[], owner: Owner, by: "group" | "member"): number {
  return slots.filter((slot) => slot.isHeld && slot.owner?.[by] === owner[by]).length;
}

/** Say whether somebody of the same namespace or pod took a slot before. */
function isAnotherFirst(mine: Holding, slots: readonly Slot[], by: "group" | "member"): boolean {
  const takenAt = slots[mine.index]?.takenAt ?? 0;
  return slots.some(
    (slot, index) =>
      index !== mine.index &&
      slot.isHeld &&
      slot.owner?.[by] === mine[by] &&
      (slot.takenAt < takenAt || (slot.takenAt === takenAt && index < mine.index)),
  );
}

function lastServed(slots: readonly Slot[]): Owner | undefined {
  let last: Slot | undefined;
  for (const slot of slots) if (slot.takenAt > (last?.takenAt ?? 0)) last = slot;
  return last?.owner;
}

function isBefore(a: readonly number[], b: readonly number[]): boolean {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value < (b[index] ?? 0);
  return false;
}
