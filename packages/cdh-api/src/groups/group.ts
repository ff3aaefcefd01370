import type { GroupKey } from "@cdh/core/groups/group-key";
import type { Tally } from "./tally.ts";

/** Crashes of one bug in one namespace. */
export interface Group {
  readonly id: string;
  /** Where it is shown. */
  readonly namespace: string;
  readonly key: GroupKey;
  readonly tally: Tally;
  /** Of the index, when it was first seen here. */
  readonly createdRevision: number;
  /** Of the index, when it last changed. */
  readonly revision: number;
}
