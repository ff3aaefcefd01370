import { statSync } from "node:fs";
import type { Desired } from "../change/desired.ts";
import { KERNEL_VALUES, readKernelValues, SYSCTL_NAMES } from "../node/kernel-values.ts";
import { inHostDir, NAMES, type Node } from "../node/target-node.ts";

/** Something that is not as it was installed. */
export interface Drift {
  /** `kernel.core_pattern`, or a file of HOST_DIR. */
  what: string;
  found: string;
  wanted: string;
}

/** How the installed files looked right after an install: hashing a hundred megabytes every few seconds would cost too much. */
export type Fingerprints = Readonly<Record<string, string>>;

/** Look at the files that an install has put into HOST_DIR. */
export function takeFingerprints(node: Node, desired: Desired): Fingerprints {
  const names =
    desired.composer === undefined
      ? []
      : [
          NAMES.composer,
          NAMES.env,
          ...desired.composer.libraries.map(({ name }) => `${desired.composer?.libraryFolder}/${name}`),
        ];
  return Object.fromEntries(names.map((name) => [name, fingerprint(inHostDir(node, name))]));
}

/** Compare the node with what was installed. */
export function findDrift(node: Node, desired: Desired, before: Fingerprints): Drift[] {
  const current = readKernelValues(node.roots);
  const values = KERNEL_VALUES.filter((name) => current[name] !== desired.values[name]).map((name) => ({
    what: SYSCTL_NAMES[name],
    found: current[name],
    wanted: desired.values[name],
  }));
  const now = takeFingerprints(node, desired);
  const files = Object.keys(before)
    .filter((name) => before[name] !== now[name])
    .map((name) => ({ what: name, found: now[name] ?? "missing", wanted: before[name] ?? "" }));
  return [...values, ...files];
}

function fingerprint(path: string): string {
  const entry = statSync(path, { throwIfNoEntry: false });
  if (entry === undefined) return "missing";
  return `inode ${entry.ino}, ${entry.size} bytes, mode ${(entry.mode & 0o7777).toString(8)}, changed ${entry.mtimeMs}`;
}
