import { closeSync, constants, readFileSync } from "node:fs";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import { isLocal } from "./local-file-systems.ts";
import { findMapping, parseFileSystems, parseMaps, parseMountTypes, type Mapping } from "./maps.ts";
import { mountOf, O_PATH, tryOpen } from "./path-descriptor.ts";

/** A mapped file, held open after the process is gone. */
export interface HeldFile {
  /** Refers to the file without having opened it (O_PATH): nothing of its file system has been asked. */
  fd: number;
  /** Where executable parts of it are mapped. */
  starts: bigint[];
}

/** Directories of the process that this machine reads by itself, held as {@link HeldFile}s are. */
export interface HeldPlaces {
  cwd?: number;
  root?: number;
  /** Its mountinfo, open: tells of its mounts as they are when it is read, also after the process is gone. */
  mounts?: number;
}

/** What of a crashed process is kept open for its stacks to be read. */
export interface HeldProcess {
  /** Of /proc/<pid>/mem; undefined where it could not be opened. */
  mem: number | undefined;
  mappings: Mapping[];
  files: HeldFile[];
  places: HeldPlaces;
  /** Files that are not held, and why: at most a few. */
  refused: string[];
}

/** Files held at most: the first and the last half, where programs have themselves and their libc. */
const FILES_MAX = 512;
const REFUSED_MAX = 8;
/**
 * Keep memory and files of a process open while the kernel holds it. No path of the process is resolved: the kernel leads
 * from a mapping to its file. @param source the process's directory in /proc @see proc_pid_map_files(5)
 */
export function holdProcess(source: string, files: ProcessSnapshot["files"]): HeldProcess {
  const bytesOf = (name: string): Uint8Array => files.find((file) => file.name === name)?.bytes ?? new Uint8Array();
  const mappings = parseMaps(bytesOf("maps"));
  const types = new Map([...parseFileSystems(ownMounts()), ...parseFileSystems(bytesOf("mountinfo"))]);
  const held: HeldProcess = {
    mem: tryOpen(`${source}/mem`, constants.O_RDONLY),
    mappings,
    files: [],
    places: holdPlaces(source, bytesOf("mountinfo")),
    refused: [],
  };
  for (const parts of chooseFiles(mappings)) {
    const [first] = parts;
    if (first === undefined) continue;
    const why = refusal(first, types);
    const range = `${first.start.toString(16)}-${first.end.toString(16)}`;
    const fd = why === undefined ? tryOpen(`${source}/map_files/${range}`, O_PATH) : undefined;
    if (fd !== undefined) held.files.push({ fd, starts: parts.map(({ start }) => start) });
    else if (held.refused.length < REFUSED_MAX) held.refused.push(`${first.path} (${why ?? "cannot be opened"})`);
  }
  return held;
}

/** Hold working directory and root where this machine reads them by itself. The process keeps their mounts from becoming others. */
function holdPlaces(source: string, mountinfo: Uint8Array): HeldPlaces {
  const types = parseMountTypes(mountinfo);
  const hold = (name: string): number | undefined => {
    const fd = tryOpen(`${source}/${name}`, O_PATH | constants.O_DIRECTORY);
    if (fd === undefined || isLocal(types.get(String(mountOf(fd))))) return fd;
    closeSync(fd);
    return undefined;
  };
  const [cwd, root, mounts] = [hold("cwd"), hold("root"), tryOpen(`${source}/mountinfo`, constants.O_RDONLY)];
  return {
    ...(cwd === undefined ? {} : { cwd }),
    ...(root === undefined ? {} : { root }),
    ...(mounts === undefined ? {} : { mounts }),
  };
}

/** The executable mappings of each file. */
function chooseFiles(mappings: readonly Mapping[]): Mapping[][] {
  const files = Map.groupBy(
    mappings.filter(({ isExecutable, path }) => isExecutable && path.startsWith("/")),
    ({ device, inode }) => `${device} ${inode}`,
  );
  const all = [...files.values()];
  return all.length <= FILES_MAX ? all : [...all.slice(0, FILES_MAX / 2), ...all.slice(-FILES_MAX / 2)];
}

/** Say why a file is not to be opened. */
function refusal({ device, path }: Mapping, types: ReadonlyMap<string, string>): string | undefined {
  if (path.startsWith("/memfd:") || path.startsWith("/SYSV")) return undefined;
  const type = types.get(device);
  if (type === undefined) return "on a file system that is not known here";
  return isLocal(type) ? undefined : `on ${type}`;
}

function ownMounts(): Uint8Array {
  try {
    return readFileSync("/proc/self/mountinfo");
  } catch {
    return new Uint8Array();
  }
}

/** The mapping around an address; undefined where nothing is mapped. */
export function mappingAt(mappings: readonly Mapping[], address: bigint): Mapping | undefined {
  const found = findMapping(mappings, address);
  return found !== undefined && found.start <= address ? found : undefined;
}
