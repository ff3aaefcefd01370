import type { DumpIndex } from "../index/dump-index.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import type { GroupState } from "../manifests/group-state.ts";
import { GroupIndex } from "./group-index.ts";
import { GroupStates, type GroupStatesOptions } from "./group-states.ts";
import type { Group } from "./group.ts";
import { phaseOf, type Phase } from "./phase.ts";

/** The groups of a server, and what people say about them. */
export interface Groups {
  readonly index: GroupIndex;
  readonly states: GroupStates;
}

/** A group as it is at a time, with what is said about it. */
export interface ViewedGroup {
  readonly group: Group;
  readonly state: GroupState | undefined;
  readonly phase: Phase;
}

/** See a group as it is. @param nowMs epoch milliseconds */
export function viewOf({ states }: Pick<Groups, "states">, group: Group, nowMs: number): ViewedGroup {
  const state = states.of(group.namespace, group.id);
  return { group, state, phase: phaseOf(group.tally, state, nowMs) };
}

/** Make the groups of an index; whoever owns the index tells {@link GroupIndex.follow} of its changes. */
export function makeGroups({
  dumps,
  past,
  isListed = () => true,
  ...options
}: Omit<GroupStatesOptions, "onChange" | "isThere"> & {
  isListed?: () => boolean;
  dumps: () => DumpIndex;
  past?: (namespace: string) => Iterable<PastCrashes>;
}): Groups {
  const nextRevision = (): number => dumps().log.next(options.clock.now());
  const index = new GroupIndex({
    clock: options.clock,
    records: (namespace) => dumps().list(namespace),
    nextRevision,
    ...(past === undefined ? {} : { past }),
  });
  const states = new GroupStates({
    ...options,
    // What is left out, and what is not listed yet, may be there.
    isThere: (namespace, id) => !isListed() || index.leftOut > 0 || index.find(namespace, id) !== undefined,
    onChange: (namespace, id) => index.touch(namespace, id, nextRevision()),
  });
  return { index, states };
}
