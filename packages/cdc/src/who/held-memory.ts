import { closeSync, constants, readFileSync, statfsSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import { parseFileSystems } from "../stack/maps.ts";
import { O_PATH, tryOpen } from "../stack/path-descriptor.ts";

/** What is in a mapping, as far as reading it is concerned. */
export type Contents =
  /** Memory of the process alone: pages that were never touched are zeros, and are not to be read. */
  | "anonymous"
  /** Of a file or shared: pages that the process never touched come from there. */
  | "backed"
  /** The kernel's own, whose pages it may refuse: they are zeros in a core. */
  | "refusable"
  /** Zeros in a core. */
  | "zero";

/** One mapping of a held process. */
export interface MemoryMapping {
  start: number;
  end: number;
  contents: Contents;
  /** Where in its file it starts. */
  fileOffset: number;
}

/** The memory of a crashed process, open while the kernel holds it. */
export interface HeldMemory {
  /** Of /proc/<pid>/mem. */
  mem: number;
  /** Of /proc/<pid>/pagemap. */
  pagemap: number;
  mappings: MemoryMapping[];
  /** Tell how long the file behind a mapping is, in bytes. */
  fileBytes(mapping: MemoryMapping): Promise<number>;
  /** Tell whether the process was killed while it is held: then its memory may be gone in parts. */
  wasKilled(): boolean;
  close(): void;
}

/** The limit up to which maps is read. What is longer is cut. */
const MAPS_MAX_BYTES = 4 * 1024 * 1024;
const HUGETLBFS_MAGIC = 0x9584_58f6;
const SIGKILL_BIT = 1n << 8n;

const LINE = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)$/;

/**
 * Open the memory of a process that the kernel holds.
 * @param source its directory in /proc
 * @returns why not, in words, where it can't be read for sure as the kernel would write it
 */
export function holdMemory(source: string, files: ProcessSnapshot["files"]): HeldMemory | { doubt: string } {
  const bytesOf = (name: string): Uint8Array => files.find((file) => file.name === name)?.bytes ?? new Uint8Array();
  const maps = bytesOf("maps");
  if (maps.length === 0) return { doubt: "its mappings are not known" };
  if (maps.length >= MAPS_MAX_BYTES) return { doubt: "it has too many mappings" };
  const opened: number[] = [];
  const close = (): void => {
    for (const fd of opened.splice(0)) closeSync(fd);
  };
  const open = (name: string, flags: number): number | undefined => {
    const fd = tryOpen(`${source}/${name}`, flags);
    if (fd !== undefined) opened.push(fd);
    return fd;
  };
  const mem = open("mem", constants.O_RDONLY);
  const pagemap = open("pagemap", constants.O_RDONLY);
  const links = open("map_files", O_PATH | constants.O_DIRECTORY);
  const status = open("status", constants.O_RDONLY);
  if (mem === undefined || pagemap === undefined || links === undefined || status === undefined) {
    close();
    return { doubt: "its memory cannot be opened" };
  }
  const linkOf = (start: string, end: string): string => `/proc/self/fd/${links}/${start}-${end}`;
  const types = new Map([...parseFileSystems(ownMounts()), ...parseFileSystems(bytesOf("mountinfo"))]);
  const isHuge = (device: string, link: string): boolean => {
    let type = types.get(device);
    if (type === undefined) {
      // Of no mount: the kernel's own, such as shared memory. Nobody else has to answer.
      type = statfsSync(link).type === HUGETLBFS_MAGIC ? "hugetlbfs" : "other";
      types.set(device, type);
    }
    return type === "hugetlbfs";
  };
  try {
    const mappings = readMappings(maps, (device, start, end) => isHuge(device, linkOf(start, end)));
    if ("doubt" in mappings) {
      close();
      return mappings;
    }
    return {
      mem,
      pagemap,
      mappings,
      fileBytes: async ({ start, end }) => (await stat(linkOf(start.toString(16), end.toString(16)))).size,
      wasKilled: () => hasKillPending(readFileSync(`/proc/self/fd/${status}`, "latin1")),
      close,
    };
  } catch (error) {
    close();
    return { doubt: `its mappings cannot be told apart: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Read `/proc/<pid>/maps` for what each mapping holds. @see proc_pid_maps(5) */
export function readMappings(
  maps: Uint8Array,
  isHuge: (device: string, start: string, end: string) => boolean,
): MemoryMapping[] | { doubt: string } {
  const mappings: MemoryMapping[] = [];
  for (const line of Buffer.from(maps.buffer, maps.byteOffset, maps.byteLength).toString("latin1").split("\n")) {
    if (line === "") continue;
    const [, low, high, access = "", offset = "", major = "", minor = "", inode = "", path = ""] =
      LINE.exec(line) ?? [];
    if (low === undefined || high === undefined) return { doubt: "a mapping of it is not understood" };
    const device = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
    const [start, end] = [Number.parseInt(low, 16), Number.parseInt(high, 16)];
    const contents = contentsOf(access, inode, path);
    if (contents === undefined) return { doubt: `it has a mapping ${path} ${access}` };
    if (contents === "backed" && inode !== "0" && isHuge(device, low, high))
      return { doubt: "it has memory of hugetlbfs" };
    mappings.push({ start, end, contents, fileOffset: Number.parseInt(offset, 16) });
  }
  return mappings;
}

/** Tell what a mapping holds; undefined where that is not known. */
function contentsOf(access: string, inode: string, path: string): Contents | undefined {
  if (path === "[vsyscall]") return access === "--xp" ? "zero" : undefined;
  if (path.startsWith("[vvar")) return "refusable";
  if (inode !== "0" || access[3] === "s") return "backed";
  if (path === "" || path === "[heap]" || path.startsWith("[stack") || path.startsWith("[anon:")) return "anonymous";
  return path === "[vdso]" ? "backed" : undefined;
}

/** Tell from a status text whether the whole process has SIGKILL coming. */
function hasKillPending(status: string): boolean {
  const [, pending] = /(?<![^\n])ShdPnd:\s*([0-9a-f]+)(?![^\n])/.exec(status) ?? [];
  return pending === undefined || (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n;
}

function ownMounts(): Uint8Array {
  try {
    return readFileSync("/proc/self/mountinfo");
  } catch {
    return new Uint8Array();
  }
}
