import type { BundleEntry } from "./reader-directory.ts";

/** What an entry is for. @see docs/on-disk.md */
export type EntryRole =
  | "manifest"
  | "dump-info"
  | "core"
  | "pod-info"
  | "runtime-info"
  | "ps-info"
  | "log"
  | "image-info"
  | "proc"
  | "artefact"
  | "other";

const FIXED_SUFFIXES: readonly (readonly [string, EntryRole])[] = [
  ["-manifest.json", "manifest"],
  ["-dump-info.json", "dump-info"],
  ["-pod-info.json", "pod-info"],
  ["-runtime-info.json", "runtime-info"],
  ["-ps-info.json", "ps-info"],
  [".core.zst", "core"],
  [".core", "core"],
];

/** Find `N`, the name that all entries of a bundle start with; the most telling entry decides. */
export function baseNameOf(entries: readonly BundleEntry[]): string | undefined {
  for (const [suffix] of FIXED_SUFFIXES) {
    const found = entries.find((entry) => entry.name.endsWith(suffix));
    if (found !== undefined) return found.name.slice(0, -suffix.length);
  }
  return undefined;
}

/**
 * Tell what an entry is for by its name. IBM's older releases wrote one `N-image-info.json` without an index.
 * @param base `N`, from {@link baseNameOf}
 */
export function entryRole(name: string, base: string | undefined): EntryRole {
  if (base === undefined || !name.startsWith(base)) return "other";
  const rest = name.slice(base.length);
  const fixed = FIXED_SUFFIXES.find(([suffix]) => suffix === rest);
  if (fixed !== undefined) return fixed[1];
  if (/^-\d+\.log$/.test(rest)) return "log";
  if (/^(-\d+)?-image-info\.json$/.test(rest)) return "image-info";
  if (/^(-\d+)?-proc\/[^/]+$/.test(rest)) return "proc";
  if (/^-artefacts\/[^/]+$/.test(rest)) return "artefact";
  return "other";
}

/** Take the container's index from `N-<i>.log`, `N-<i>-image-info.json` or `N-<i>-proc/…`; undefined where there is none. */
export function containerIndexOf(name: string, base: string): number | undefined {
  const match = /^-(\d{1,6})[.-]/.exec(name.slice(base.length));
  return match === null ? undefined : Number(match[1]);
}
