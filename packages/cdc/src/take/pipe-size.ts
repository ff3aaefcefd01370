import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
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
 *
 * Small files of the kernel's own, read at once: until the pipe is large the kernel waits for us after every 64 KiB.
 * @param pid the crashed process on the host
 * @returns false also when its room can't be read
 */
export function mayEnlargePipe(roots: Roots, pid: number | undefined): boolean {
  // Without a pid there is nobody to ask about, as for a saved core.
  if (pid === undefined) return true;
  try {
    const text = readStart(join(roots.proc, String(pid), "cgroup"), CGROUP_BYTES);
    const place = memoryCgroupOf(text);
    return place === undefined || roomOf(roots, place) >= ROOM_BYTES;
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
function roomOf(roots: Roots, { path, files }: { path: string; files: MemoryFiles }): number {
  let room = Number.POSITIVE_INFINITY;
  const segments = path.split("/").filter((segment) => segment !== "");
  for (let depth = segments.length, level = 0; depth > 0 && level < LEVELS_MAX; depth -= 1, level += 1) {
    for (const directory of files.directories) {
      const cgroup = join(roots.sys, "fs/cgroup", directory, segments.slice(0, depth).join("/"));
      const limit = numberIn(join(cgroup, files.limit));
      if (limit === undefined || limit === Number.POSITIVE_INFINITY) continue;
      const usage = numberIn(join(cgroup, files.usage));
      if (usage !== undefined) room = Math.min(room, limit - usage);
    }
  }
  return room;
}

/** Read a number; `max` is infinite, a file that is not there tells nothing. */
function numberIn(path: string): number | undefined {
  try {
    const text = readStart(path, NUMBER_BYTES).trimEnd();
    if (text === "max") return Number.POSITIVE_INFINITY;
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Read a file's start. */
function readStart(path: string, maxBytes: number): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(maxBytes);
    return buffer.toString("utf8", 0, readSync(fd, buffer, 0, maxBytes, 0));
  } finally {
    closeSync(fd);
  }
}
