import { hash } from "node:crypto";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { isRestricted } from "@cdh/core/bundle/restricted";
import { KEEP_LABEL } from "../group.ts";
import { BUNDLE_SUFFIX } from "./store-reader.ts";

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Say how dumps are placed. */
export interface PlacementRules {
  /** Where whatever belongs to no tenant is shown. */
  hostNamespace: string;
  trustUnverified: boolean;
}

/**
 * Choose the namespace a dump is shown in: the pod's own when that is proven, else the host namespace. A guess would
 * show one tenant's memory to another: two pods of different namespaces can have the same host name.
 */
export function namespaceOf(
  manifest: Pick<Manifest, "pod" | "identity" | "restricted" | "process">,
  rules: PlacementRules,
): string {
  return placeOf(
    {
      podNamespace: manifest.pod?.namespace,
      identityVerified: manifest.identity?.verified,
      restricted: isRestricted(manifest),
    },
    rules,
  );
}

/** Choose the namespace as {@link namespaceOf} does, of what a record says. */
export function placeOf(
  {
    podNamespace,
    identityVerified,
    restricted,
  }: { podNamespace: string | undefined; identityVerified: boolean | undefined; restricted: boolean },
  rules: PlacementRules,
): string {
  if (podNamespace === undefined || !NAMESPACE.test(podNamespace) || restricted) return rules.hostNamespace;
  return identityVerified === true || rules.trustUnverified ? podNamespace : rules.hostNamespace;
}

/** Take the crash's own id as a name when it can be one. */
export function tryNameOf(manifest: Pick<Manifest, "crashId">): string | undefined {
  return NAMESPACE.test(manifest.crashId) ? manifest.crashId : undefined;
}

/** Make a name of the store's key: for dumps whose id is no name, or is taken. */
export function nameOfStem(stem: string): string {
  return `x${hash("sha256", stem, "hex").slice(0, 32)}`;
}

/** File name of a dump's bundle. */
export function bundleNameOf({ stem }: { stem: string }): string {
  return `${stem.slice(stem.lastIndexOf("/") + 1)}${BUNDLE_SUFFIX}`;
}

/** Make the `metadata.uid`: the same on every replica. */
export function uidOf(stem: string, namespace: string): string {
  // In one call: a hash object for each of a hundred thousand lines waits for the collector.
  const hex = hash("sha256", `${namespace}\0${stem}`, "hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}

/** Tell whether the crashed pod carried the label that keeps its dumps. */
export function isKeptByPod(manifest: Pick<Manifest, "pod">): boolean {
  const value = manifest.pod?.labels?.[KEEP_LABEL];
  return value !== undefined && value !== "false";
}

/** Tell whether a name was made by {@link nameOfStem}. */
export function isMadeName(name: string): boolean {
  return /^x[0-9a-f]{32}$/.test(name);
}
