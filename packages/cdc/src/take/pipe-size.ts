import { join } from "node:path";
import { readBounded } from "@cdh/core/container/bounded-file";
import { errnoOf } from "@cdh/core/errors";
import type { Roots } from "@cdh/core/roots";

/** A pipe of a mebibyte lets the kernel write while we work; the most that an ordinary node allows. */
export const LARGE_PIPE_BYTES = 1024 * 1024;

/** So many bytes must be left to the crashing process's cgroup, or its pipe stays as the kernel made it. */
const ROOM_BYTES = 4 * LARGE_PIPE_BYTES;

/** Levels of cgroups that are looked at; the kernel itself allows few more. */
const LEVELS_MAX = 64;

/** A number and a line's end. */
const NUMBER_BYTES = 64;

/** A cgroup file of /proc; each line holds at most a path. */
const CGROUP_BYTES = 64 * 1024;

/** The names of one version's files. */
interface MemoryFiles {
  directories: readonly string[];
  limit: string;
  usage: string;
}

const VERSION_1: MemoryFiles = {
  directories: ["memory"],
  limit: "memory.limit_in_bytes",
  usage: "memory.usage_in_bytes",
};
const VERSION_2: MemoryFiles = { directories: ["", "unified"], limit: "memory.max", usage: "memory.current" };

/**
 * Tell whether the kernel's pipe may be enlarged. Its pages are charged to the memory cgroup of the process that writes
 * the core. Close to its limit that would kill the process in the middle of its dump.
 * @param pid the crashed process on the host
 * @returns false also when its room can't be read in time
 */
export async function mayEnlargePipe(roots: Roots, pid: number | undefined, signal: AbortSignal): Promise<boolean> {
  // Without a pid there is nobody to ask about, as for a saved core.
  if (pid === undefined) return true;
  try {
    const { bytes } = await readBounded(join(roots.proc, String(pid), "cgroup"), CGROUP_BYTES, signal);
    const place = memoryCgroupOf(bytes.toString());
    return place === undefined || (await roomOf(roots, place, signal)) >= ROOM_BYTES;
  } catch (error) {
    // It is gone: nothing is charged to it any more.
    return ["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "");
  }
}

/** Find the memory cgroup in the text of /proc/<pid>/cgroup; undefined when no controller counts its memory. */
export function memoryCgroupOf(text: string): { path: string; files: MemoryFiles } | undefined {
  let unified: string | undefined;
  for (const line of text.split("\n")) {
    const [id, controllers, ...rest] = line.split(":");
    const path = rest.join(":");
    if (!path.startsWith("/") || path.split("/").includes("..")) continue;
    if (controllers?.split(",").includes("memory") === true) return { path, files: VERSION_1 };
    if (id === "0" && controllers === "") unified = path;
  }
  return unified === undefined ? undefined : { path: unified, files: VERSION_2 };
}

/** Bytes that the cgroup, or one above it, may still take. */
async function roomOf(
  roots: Roots,
  { path, files }: { path: string; files: MemoryFiles },
  signal: AbortSignal,
): Promise<number> {
  let room = Number.POSITIVE_INFINITY;
  const segments = path.split("/").filter((segment) => segment !== "");
  for (let depth = segments.length, level = 0; depth > 0 && level < LEVELS_MAX; depth -= 1, level += 1) {
    for (const directory of files.directories) {
      const cgroup = join(roots.sys, "fs/cgroup", directory, segments.slice(0, depth).join("/"));
      const limit = await numberIn(join(cgroup, files.limit), signal);
      if (limit === undefined || limit === Number.POSITIVE_INFINITY) continue;
      const usage = await numberIn(join(cgroup, files.usage), signal);
      if (usage !== undefined) room = Math.min(room, limit - usage);
    }
  }
  return room;
}

/** Read a number; `max` is infinite, a file that is not there tells nothing. */
async function numberIn(path: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    const { bytes } = await readBounded(path, NUMBER_BYTES, signal);
    const text = bytes.toString().trimEnd();
    if (text === "max") return Number.POSITIVE_INFINITY;
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
