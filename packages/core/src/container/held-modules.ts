import { open, type FileHandle } from "node:fs/promises";
import type { CoreModule } from "../elf/facts.ts";
import { startsLikeElf } from "../elf/format.ts";
import { tryParseModuleImage } from "../elf/module-image.ts";
import { isModule, MappingGroups, moduleOf, type MappingGroup } from "../elf/modules.ts";
import { within } from "./collected.ts";
import { tryParseMapsLine } from "./proc-text.ts";
import { readHeld, type SnapshotOptions } from "./process.ts";

/** Modules of a process that the kernel holds. */
export interface HeldModules {
  modules: CoreModule[];
  /** False when `/proc/PID/maps` was longer than is read, or had more modules than are kept. */
  whole: boolean;
  /** How long `/proc/PID/maps` was, as far as it was read. */
  mapsBytes: number;
}

const STEP_BYTES = 64 * 1024;
/** A process may have 65,530 mappings, a million where vm.max_map_count was raised; a path has 4096 bytes at most. */
const MAPS_MAX_BYTES = 64 * 1024 * 1024;
const LINE_MAX_BYTES = 16 * 1024;
const NEWLINE = 0x0a;
const SLASH = 0x2f;
const BRACKET = 0x5b;
const MODULES_MAX = 4096;
const IMAGE_BYTES = 4096;
const IMAGE_MAX_BYTES = 64 * 1024;

/**
 * List the modules of the crashed process by `/proc/PID/maps`, and their build-ids by its memory, while the kernel holds
 * it: for a core whose own list of files is missing. Takes memory for the modules, not for the mappings. Never rejects.
 * @returns undefined when the process is gone, or may be another one
 */
export async function readHeldModules(options: SnapshotOptions): Promise<HeldModules | undefined> {
  try {
    return await readHeld(options, (directory) => readModules(directory, options.signal));
  } catch {
    return undefined;
  }
}

async function readModules(directory: string, signal: AbortSignal | undefined): Promise<HeldModules> {
  const { groups, whole, mapsBytes } = await readGroups(`${directory}/maps`, signal);
  const modules: CoreModule[] = [];
  const memory = await open(`${directory}/mem`, "r").catch(() => undefined);
  try {
    for (const group of groups) {
      signal?.throwIfAborted();
      const image = memory === undefined ? undefined : await within(readImage(memory, group), signal);
      if (isModule(group, image)) modules.push(moduleOf(group, image));
    }
  } finally {
    // Not waited for: it would wait behind a read that hangs.
    void memory?.close().catch(() => undefined);
  }
  return { modules, whole, mapsBytes };
}

async function readGroups(
  path: string,
  signal?: AbortSignal,
): Promise<{ groups: MappingGroup[]; whole: boolean; mapsBytes: number }> {
  const kept: MappingGroup[] = [];
  let passedOver = false;
  const groups = new MappingGroups((group) => {
    // What begins in the middle of a file and runs nothing is data.
    if (!group.isExecutable && group.first.fileOffset !== 0n) return;
    if (kept.length < MODULES_MAX) kept.push(group);
    else if (!group.isExecutable) passedOver = true;
    else {
      const data = kept.findIndex(({ isExecutable }) => !isExecutable);
      if (data !== -1) kept.splice(data, 1);
      if (data !== -1) kept.push(group);
      passedOver = true;
    }
  });
  const read = await forEachLine(path, signal, (line) => {
    const mapping = tryParseMapsLine(line);
    if (mapping !== undefined) groups.add(mapping, mapping.flags);
  });
  groups.end();
  return { groups: kept, whole: read.whole && !passedOver, mapsBytes: read.bytes };
}

/**
 * Give the lines of a maps file that may name a module: those that begin with an address and hold a slash or a bracket. No
 * text is made of the others, of which there may be a million.
 * @returns how much was read, and whether that is all of the file
 */
async function forEachLine(
  path: string,
  signal: AbortSignal | undefined,
  take: (line: string) => void,
): Promise<{ bytes: number; whole: boolean }> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(STEP_BYTES);
    let rest = 0;
    let read = 0;
    while (read < MAPS_MAX_BYTES) {
      const { bytesRead } = await within(file.read(buffer, rest, buffer.length - rest, null), signal);
      if (bytesRead === 0) return { bytes: read, whole: true };
      read += bytesRead;
      const filled = rest + bytesRead;
      let at = 0;
      for (let end = buffer.indexOf(NEWLINE); end !== -1 && end < filled; end = buffer.indexOf(NEWLINE, at)) {
        if (isHexDigit(buffer[at]) && mayNameModule(buffer.subarray(at, end))) take(buffer.toString("latin1", at, end));
        at = end + 1;
      }
      buffer.copyWithin(0, at, filled);
      rest = filled - at;
      if (rest > LINE_MAX_BYTES) break;
    }
    return { bytes: read, whole: false };
  } finally {
    void file.close().catch(() => undefined);
  }
}

function mayNameModule(line: Buffer): boolean {
  return line.includes(SLASH) || line.includes(BRACKET);
}

function isHexDigit(byte = 0): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);
}

/** Read what the beginning of a file in memory says about it; undefined where it is no ELF file or cannot be read. */
async function readImage(memory: FileHandle, { first }: MappingGroup): Promise<ReturnType<typeof tryParseModuleImage>> {
  // Memory of a device is not looked at: a read of it may do something.
  if (first.fileOffset !== 0n || first.path.startsWith("/dev/") || first.start > BigInt(Number.MAX_SAFE_INTEGER))
    return undefined;
  const bytes = await readMemory(memory, first, IMAGE_BYTES);
  if (bytes === undefined || !startsLikeElf(bytes)) return undefined;
  const image = tryParseModuleImage(bytes);
  const wanted = Math.min(image?.wantedBytes ?? 0, IMAGE_MAX_BYTES);
  const more = wanted > bytes.length ? await readMemory(memory, first, wanted) : undefined;
  return (more === undefined ? undefined : tryParseModuleImage(more)) ?? image;
}

async function readMemory(
  memory: FileHandle,
  { start, end }: MappingGroup["first"],
  length: number,
): Promise<Buffer | undefined> {
  const wanted = Math.min(length, Number(end - start));
  try {
    const { buffer, bytesRead } = await memory.read(Buffer.alloc(wanted), 0, wanted, Number(start));
    return buffer.subarray(0, bytesRead);
  } catch {
    return undefined;
  }
}
