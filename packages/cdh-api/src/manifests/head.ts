import type { Manifest } from "@cdh/core/bundle/manifest";
import { isRestricted } from "@cdh/core/bundle/restricted";
import { CdhError } from "@cdh/core/errors";
import { crashKeys } from "@cdh/core/groups/crash-keys";
import { crashLine, crashPlace } from "@cdh/core/report/crash-line";
import { KEEP_LABEL } from "../group.ts";

/** A path has 4096 bytes at most; what is longer than this was made up to fill memory. */
const TEXT_MAX = 8192;
/** Fields of one object; ours has a dozen, and a newer composer may know some more. */
const FIELDS_MAX = 64;
/** Characters of a key; those of our own composers have half as many. */
const KEY_MAX = 1024;

/**
 * What the index and retention need of a manifest: its single fields, without its lists. However large the manifest is,
 * this takes some kilobytes.
 */
export type ManifestHead = Omit<Manifest, "threads" | "modules" | "problems" | "composer" | "site" | "signature"> & {
  problemCount: number;
  /** Why and where, in one line; empty when nothing tells. */
  summary: string;
  /** Where alone. */
  where: string | undefined;
  /** What crashes of one bug have in common; of a restricted crash no function is told. */
  site: string | undefined;
  signature: string | undefined;
};

/** @throws {CdhError} CDH_BUNDLE_JSON when a field holds more than any that describes a crash */
export function headOf(manifest: Manifest, label: string): ManifestHead {
  const single = <T extends object>(object: T): T => singleFields(object, label);
  const { node, process: crashed, signal, core, container, pod, identity, suppressed, counted, problems } = manifest;
  const keep = pod?.labels?.[KEEP_LABEL];
  const keys = crashKeys(manifest);
  return {
    ...single(manifest),
    node: single(node),
    process: single(crashed),
    signal: single(signal),
    core: single(core),
    ...(container === undefined ? {} : { container: single(container) }),
    ...(pod === undefined
      ? {}
      : {
          pod: {
            ...single(pod),
            ...(pod.owner === undefined ? {} : { owner: single(pod.owner) }),
            ...(keep === undefined ? {} : { labels: { [KEEP_LABEL]: keep } }),
          },
        }),
    ...(identity === undefined ? {} : { identity: single(identity) }),
    ...(suppressed === undefined ? {} : { suppressed: single(suppressed) }),
    ...(counted === undefined ? {} : { counted: single(counted) }),
    problemCount: problems.length,
    summary: crashLine(manifest),
    where: crashPlace(manifest),
    site: keys.site?.slice(0, KEY_MAX),
    signature: isRestricted(manifest) ? undefined : keys.signature?.slice(0, KEY_MAX),
  };
}

/** Copy the fields of an object that are neither lists nor objects. */
function singleFields<T extends object>(object: T, label: string): T {
  const fields: Record<string, unknown> = {};
  let count = 0;
  for (const [name, value] of Object.entries(object)) {
    if (typeof value === "object") continue;
    count += 1;
    const tooLong = typeof value === "string" && value.length > TEXT_MAX;
    if (!tooLong && count <= FIELDS_MAX) fields[name] = value;
    else {
      const why = tooLong ? `a field of it has ${value.length} characters` : `it has more than ${FIELDS_MAX} fields`;
      throw new CdhError("CDH_BUNDLE_JSON", `cannot read the manifest of ${label}: ${why}`);
    }
  }
  return fields as T;
}
