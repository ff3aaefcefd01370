import { CdhError } from "@cdh/core/errors";
import { GROUP_ID, groupCrashes, type CrashGroup } from "@cdh/core/groups/crash-groups";
import type { Found } from "./found.ts";
import { summariseAll } from "./list.ts";

/** A group that a person named, and the place in which its crashes are. */
export interface GroupPlace {
  place: string;
  id: string;
}

/** Read a group's id, by itself or behind a place: `s3://cores/bug-3f9a12bc07`. @returns undefined for what is none */
export function tryParseGroup(text: string): GroupPlace | undefined {
  const slash = Math.max(text.lastIndexOf("/"), text.lastIndexOf("\\"));
  const id = text.slice(slash + 1);
  if (!GROUP_ID.test(id)) return undefined;
  const place = text.slice(0, slash + 1);
  return { place: place === "" ? "." : place, id };
}

/** Find a group among the bundles of a place, and its newest whole crash, else its newest. @throws {CdhError} CDH_NOT_FOUND */
export async function findInGroup(
  found: readonly Found[],
  { place, id }: GroupPlace,
): Promise<{ group: CrashGroup; one: Found }> {
  const summaries = (await summariseAll(found)).filter(({ error }) => error === undefined);
  const [group] = groupCrashes(summaries, summaries).filter((each) => each.id === id);
  const wanted = group?.newestWhole ?? group?.newest;
  const one = found.find(({ label }) => label === wanted);
  if (group === undefined || one === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no group ${id} in ${place}`, {
      hint: `cdh-inspect groups ${place} shows them`,
    });
  return { group, one };
}
