import { lstat, readFile, readlink, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";
import { openRegularFile } from "./regular-file.ts";

/** A file that a core names, found on this machine. */
export interface ForeignFile {
  /** Where it lies, without symbolic links. */
  path: string;
  file: FileHandle;
}

/** As many symbolic links as the kernel follows. @see path_resolution(7) */
const LINKS_MAX = 40;
/** The kernel's PATH_MAX. */
const PATH_MAX_BYTES = 4096;

/** What lies here is made by drivers, the kernel or an automounter: looking at it can have effects, or never end. */
const REFUSED = ["/dev", "/proc", "/sys", "/net", "/Network", "/Volumes"];
/** The same by type, wherever it is mounted. */
const UNSAFE_TYPES = new Set(
  "autofs proc sysfs devtmpfs devpts debugfs tracefs securityfs configfs cgroup cgroup2 bpf pstore fusectl".split(" "),
);

/**
 * Open the file at a path that a core names. The core's author chose the path, so nothing is looked at but directories,
 * links and one regular file inside of `root`: symbolic links lead no further than that root, and what lies below /dev,
 * /proc, /sys, /net, another mount of the kernel's or an automounter is refused before it is touched, as are names with `//` or a backslash.
 * Whether it is the file that crashed is for the caller to see, by its build-id.
 * @param path absolute, as the crashed process saw it
 * @param root the directory that a person gave as the crashed program's root; this machine's own root when left out,
 *   which is never looked into on Windows: no path of a Linux process names a file there
 * @returns undefined when there is no such file, or it may not be opened
 */
export async function tryOpenForeign(path: string, root?: string): Promise<ForeignFile | undefined> {
  if (root === undefined && process.platform === "win32") return undefined;
  if (!isPlainPath(path)) return undefined;
  const top = resolve(root ?? "/");
  const found = await resolveWithin(top, path, await unsafeMountsBelow(top));
  if (found === undefined) return undefined;
  const file = await openRegularFile(found).catch(() => undefined);
  return file === undefined ? undefined : { path: found, file };
}

/** Tell whether a path that others chose is an ordinary absolute one, on every platform. */
export function isPlainPath(path: string): boolean {
  if (!path.startsWith("/") || Buffer.byteLength(path) >= PATH_MAX_BYTES) return false;
  if (path.includes("//") || path.includes("\\") || path.includes("\0")) return false;
  // On Windows a colon names a drive or a stream, and some names are devices in every directory.
  if (process.platform !== "win32") return true;
  return !path.includes(":") && !path.split("/").some((part) => /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(part));
}

/**
 * Find where a path leads inside a root; links are read and followed by us, so that each step is judged before it is taken.
 * @returns undefined when nothing is there, or the way is refused
 */
async function resolveWithin(root: string, path: string, unsafe: readonly string[]): Promise<string | undefined> {
  let pending = path.split("/").filter((part) => part !== "" && part !== ".");
  let done: string[] = [];
  let links = 0;
  for (let part = pending.shift(); part !== undefined; part = pending.shift()) {
    if (part === "..") {
      done.pop();
      continue;
    }
    const inside = `/${[...done, part].join("/")}`;
    const here = join(root, inside);
    if (isBelow(inside, REFUSED) || isBelow(here, unsafe)) return undefined;
    const entry = await lstat(here).catch(() => undefined);
    if (entry === undefined) return undefined;
    if (!entry.isSymbolicLink()) {
      if (pending.length === 0 ? !entry.isFile() : !entry.isDirectory()) return undefined;
      done.push(part);
      continue;
    }
    const target = await readlink(here).catch(() => undefined);
    links += 1;
    if (target === undefined || links > LINKS_MAX || !isPlainPath(`/${target.replace(/^\//, "")}`)) return undefined;
    if (target.startsWith("/")) done = [];
    pending = [...target.split("/").filter((name) => name !== "" && name !== "."), ...pending];
  }
  return done.length === 0 ? undefined : join(root, done.join("/"));
}

function isBelow(path: string, places: readonly string[]): boolean {
  return places.some((place) => path === place || path.startsWith(`${place}/`));
}

/** Find the mounts deeper than the root that the kernel makes up, or where an automounter waits. */
async function unsafeMountsBelow(root: string): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const text = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    // Up to the lone dash the fields vary in number. @see proc_pid_mountinfo(5)
    const [before = "", after = ""] = line.split(" - ");
    const place = before.split(" ")[4]?.replaceAll(/\\(\d{3})/g, unescapeOctal);
    const type = after.split(" ")[0] ?? "";
    return place === undefined || !UNSAFE_TYPES.has(type) || isBelow(root, [place]) ? [] : [place];
  });
}

function unescapeOctal(_: string, octal: string): string {
  return String.fromCodePoint(Number.parseInt(octal, 8));
}
