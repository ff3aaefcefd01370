import { readFileSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";
import { onHost, type Roots } from "@cdh/core/roots";
import { lstatIfThere, readTextIfThere } from "./files.ts";

/** As many symbolic links as the kernel follows. @see path_resolution(7) */
const MAX_LINKS = 40;

/** What a path on the node leads to. */
export interface HostPath {
  /** The path without symbolic links: what goes into the core pattern. */
  path: string;
  /** The deepest directory of it that exists. */
  existing: string;
  /** Why the kernel must not be told to start a program, or write cores, there. */
  problems: string[];
}

/**
 * Resolve a path on the node, links taken relative to the node's root, and check that nobody but root can change where
 * it leads: the kernel runs what lies there as root, so a directory that others can write to is a way to become root.
 * A sticky directory such as /tmp may be on the way, and only where `stickyEnd` says so be the end of it.
 */
export function resolveHostPath(roots: Roots, wanted: string, stickyEnd = false): HostPath {
  const problems: string[] = [];
  let pending = split(wanted);
  const done: string[] = [];
  let links = 0;
  let missing = false;
  const here = (...more: string[]): string => `/${[...done, ...more].join("/")}`;
  let existing = "/";
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === "..") {
      done.pop();
      continue;
    }
    const entry = missing ? undefined : lstatIfThere(onHost(roots, here(name)));
    if (entry === undefined) {
      missing = true;
    } else if (entry.isSymbolicLink()) {
      if (entry.uid !== 0) problems.push(`${here(name)} is a symbolic link that belongs to uid ${entry.uid}`);
      if ((links += 1) > MAX_LINKS)
        return { path: wanted, existing, problems: [...problems, `${wanted} has too many symbolic links`] };
      const target = readlinkSync(onHost(roots, here(name)));
      if (target.startsWith("/")) done.length = 0;
      pending = [...split(target), ...pending];
      continue;
    } else {
      const last = pending.length === 0;
      const complaint = entry.isDirectory() ? distrust(entry, last && !stickyEnd) : "is not a directory";
      if (complaint !== undefined) problems.push(`${here(name)} ${complaint}`);
      existing = here(name);
    }
    done.push(name);
  }
  return { path: here(), existing, problems };
}

/** Read a file of the node, links taken relative to the node's root; undefined when it is not there. */
export function readHostText(roots: Roots, path: string): string | undefined {
  return readTextIfThere(onHost(roots, resolveHostPath(roots, path).path));
}

/** Tell whether a path on the node exists, links taken relative to the node's root. */
export function existsOnHost(roots: Roots, path: string): boolean {
  return lstatIfThere(onHost(roots, resolveHostPath(roots, path).path)) !== undefined;
}

/** Find the mount that a path is on and read its options (`ro`, `noexec` …); empty when that cannot be known. */
export function mountOptionsOf(roots: Roots, path: string): string[] {
  let best = { point: "", options: [] as string[] };
  let text: string;
  try {
    text = readFileSync(join(roots.proc, "self", "mountinfo"), "utf8");
  } catch {
    return [];
  }
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const point = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const covers = point === "/" || path === point || path.startsWith(`${point}/`);
    // Of several mounts on one directory the last one is seen.
    if (point !== "" && covers && point.length >= best.point.length)
      best = { point, options: (fields[5] ?? "").split(",") };
  }
  return best.options;
}

function distrust(entry: Stats, last: boolean): string | undefined {
  if (entry.uid !== 0) return `belongs to uid ${entry.uid}, not to root`;
  const sticky = (entry.mode & 0o1000) !== 0;
  if (sticky && !last) return undefined;
  if ((entry.mode & 0o002) !== 0) return "is writable for everybody";
  if ((entry.mode & 0o020) !== 0 && entry.gid !== 0) return `is writable for group ${entry.gid}`;
  return undefined;
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
