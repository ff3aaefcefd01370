import { createHash } from "node:crypto";
import type { FrameFacts, Manifest } from "@cdh/core/bundle/manifest";
import type { Identity } from "@cdh/core/container/identify";
import { isRuntimeFile, isSystemFile } from "@cdh/core/groups/frame-rules";
import type { Crash } from "@cdh/core/kernel/crash";
import { hashOfSpots, spotsOf, type CrashPlace, type KnownPlace } from "../stack/crash-place.ts";
import { ownerOf } from "../who/crash-owner.ts";
import { SPOTS_MAX, type PlaceEntry } from "./kept-cores-file.ts";
import { workloadOf } from "./rate-limit.ts";

/** Under what a place is remembered. */
export interface PlaceKey {
  key: string;
  /** Whose it is. */
  owner: string;
  /** Workload and container. */
  workload: string;
  /** For people. */
  of: string;
}

const SHOWN_MAX = 200;

/**
 * Make the key of a place. Nothing that a tenant chooses leads into another's: namespace, workload and container are as the
 * cgroup and the runtime's records tell; on the host the user counts. Undefined where that is not proven.
 */
export function placeKey(crash: Crash, identity: Identity, place: CrashPlace): PlaceKey | undefined {
  if (!("hash" in place) || !isProven(crash, identity)) return undefined;
  const { pod, container } = identity;
  const isHost = identity.place === "host";
  const { namespace, pod: podOrUser } = ownerOf(identity, crash);
  const name = isHost ? podOrUser : (pod?.owner?.name ?? (pod?.name === undefined ? podOrUser : workloadOf(pod.name)));
  const parts = [namespace, name, container?.name ?? ""];
  // What only administrators may read stands for nothing else.
  const workload = hashOf([identity.place, ...parts, crash.dumpMode]);
  return {
    key: hashOf([workload, place.hash]),
    owner: ownerKey(crash, identity),
    workload,
    of: [...parts, crash.comm ?? ""].join(", ").slice(0, SHOWN_MAX),
  };
}

function isProven(crash: Crash, { place, verified, pod }: Identity): boolean {
  return place === "host" ? crash.uid !== undefined : verified && pod?.namespace !== undefined;
}

/** Whose room a crash takes where there is little: its namespace's, the host's, or that of all of which nothing is proven. */
export function ownerKey(crash: Crash, identity: Identity): string {
  return hashOf(isProven(crash, identity) ? [identity.place, ownerOf(identity, crash).namespace] : ["not proven"]);
}

/** Find the place among those that are remembered: by its hash, else the one of which each real call stands where it stood. */
export function findRemembered(
  places: ReadonlyMap<string, PlaceEntry>,
  { key, workload }: PlaceKey,
  place: KnownPlace,
): string {
  if (places.has(key)) return key;
  for (const [other, entry] of places) {
    if (entry.workload !== workload || entry.spots === undefined || entry.frames === undefined) continue;
    const spots = entry.spots.map(([stack, distance]) => ({ stack, distance }));
    if (hashOfSpots(place, spots) === entry.frames) return other;
  }
  return key;
}

/** Tell where the real calls of a crash stand, once its stack was walked to its end; undefined where that is not known. */
export function rememberCalls(
  place: KnownPlace,
  manifest: Pick<Manifest, "threads" | "modules">,
): Required<Pick<PlaceEntry, "spots" | "frames">> | undefined {
  const stack = manifest.threads?.find(({ crashed }) => crashed === true)?.stack;
  // A stack of which the middle or the end is not known tells too little.
  if (stack?.end.kind !== "outermost" || stack.leftOut !== undefined) return undefined;
  const isOwn = ({ module, inlined, signal }: FrameFacts): boolean => {
    const path = module === undefined ? undefined : manifest.modules?.[module]?.path;
    return path !== undefined && inlined !== true && signal !== true && !isSystemFile(path) && !isRuntimeFile(path);
  };
  // Only where a call returns to stands on a stack. The first frame is the instruction, as is what a signal interrupted.
  const returns = stack.frames.filter((frame, at) => at > 0 && stack.frames[at - 1]?.signal !== true && isOwn(frame));
  const spots = spotsOf(
    place,
    returns.map(({ pc }) => BigInt(pc)),
  );
  const frames = spots === undefined ? undefined : hashOfSpots(place, spots);
  if (spots === undefined || frames === undefined || spots.length === 0 || spots.length > SPOTS_MAX) return undefined;
  return { spots: spots.map((spot) => [spot.stack, spot.distance]), frames };
}

function hashOf(parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
