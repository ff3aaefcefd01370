import { CdhError } from "@cdh/core/errors";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import type { ObjectStore } from "@cdh/core/store/store";
import type { KubeClient } from "../kube/client.ts";
import { ambiguous, type Finding, type Found } from "./found.ts";
import { findGroupInCluster, findInCluster, type Wanted } from "./in-cluster.ts";
import { findOnDisk } from "./in-directory.ts";
import { findInGroup, tryParseGroup, type GroupPlace } from "./in-group.ts";
import { findInStore } from "./in-store.ts";
import { parseLocation } from "./location.ts";
import { findNth } from "./newest.ts";

export type { Found } from "./found.ts";

/** What finding needs from outside: one function for each kind of place that is not this machine's disk. */
export interface PlaceOpeners {
  /** Open a bucket, as cdh-upload does with the same environment. */
  bucket(bucketUrl: string): Promise<ObjectStore>;
  /** Open the cluster that the kubeconfig means. */
  cluster(): Promise<KubeClient>;
}

/**
 * Find every bundle that a text means: a directory or prefix and all below, a bundle's name, or a part of names.
 * @param group of a cluster only the crashes of this group; elsewhere all are found
 * @throws {CdhError} CDH_NOT_FOUND, CDH_DISK, the CDH_STORE family
 */
export async function findAll(
  text: string,
  openers: PlaceOpeners,
  signal?: AbortSignal,
  group?: string,
): Promise<Found[]> {
  const location = parseLocation(text);
  if (location.kind === "kube" && group !== undefined && location.name === "")
    return (await findInCluster(await openers.cluster(), { ...location, group }, "all", signal)).found;
  return (await find(text, openers, "all", signal)).found;
}

/** Find a group and the crash to look at. @throws {CdhError} CDH_NOT_FOUND, CDH_DISK, the CDH_STORE family */
export async function findGroup(
  named: GroupPlace,
  openers: PlaceOpeners,
  signal?: AbortSignal,
): Promise<{ group: CrashGroup; one: Found | undefined }> {
  const location = parseLocation(named.place);
  if (location.kind === "kube") return await findGroupInCluster(await openers.cluster(), location, named.id, signal);
  return await findInGroup((await find(named.place, openers, "all", signal)).found, named);
}

/**
 * Find the one bundle that a person means: named whole, by any part of its name that only it has, or, with a place that
 * holds many, the newest crash; `~2` behind a place is the last but one, and a group's id its newest whole crash.
 * @param onPart told when it was found by a part of a name: whoever typed it may have meant another
 * @throws {CdhError} CDH_NOT_FOUND when there is none, or a part of a name fits several
 */
export async function findOne(
  text: string,
  openers: PlaceOpeners,
  signal?: AbortSignal,
  onPart: (found: Found) => void = () => {},
): Promise<Found> {
  const counted = /^(.*)[/\\]~(\d{1,6})$/s.exec(text);
  if (counted !== null && parseLocation(text).kind !== "kube") {
    const [, place = "", nth] = counted;
    return findNth((await find(place, openers, "all", signal)).found, Number(nth), place, signal);
  }
  const grouped = tryParseGroup(text);
  if (grouped !== undefined && parseLocation(text).kind !== "kube")
    return (await findInGroup((await find(grouped.place, openers, "all", signal)).found, grouped)).one;
  const { how, found } = await find(text, openers, "one", signal);
  const [first] = found;
  if (first === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no bundle in ${text}`, { hint: "cdh-inspect ls shows what is there" });
  if (found.length === 1) {
    if (how === "part") onPart(first);
    return first;
  }
  if (how !== "place") throw ambiguous(text, found);
  return findNth(found, 1, text, signal);
}

/** A further kind of place is one more case here, one in `parseLocation`, and a file in `places/`. */
async function find(text: string, openers: PlaceOpeners, wanted: Wanted, signal?: AbortSignal): Promise<Finding> {
  const location = parseLocation(text);
  if (location.kind === "path") return findOnDisk(location.path);
  if (location.kind === "kube") return findInCluster(await openers.cluster(), location, wanted, signal);
  return findInStore(await openers.bucket(location.bucketUrl), location.key, signal);
}
