import { join, normalize } from "node:path/posix";
import type { CoreFacts, CoreModule } from "@cdh/core/elf/facts";
import { readLoaderNames } from "@cdh/core/elf/loaded-modules";
import { CoreMemory } from "@cdh/core/elf/random-access";
import { isPlainPath } from "@cdh/core/files/open-foreign";
import type { OpenedFile } from "../read/opened-file.ts";
import { tryExamineFile } from "./file-source.ts";
import { findDebugFile, findModuleFile, type FileWishes } from "./find-files.ts";

/** Files of a crash that are looked for at most. */
export const FILES_MAX = 1024;

/** What is read of the loader's list: two reads a library; and for so long, in milliseconds. */
const LOADER_READS_MAX = 1024;
const LOADER_TIMEOUT_MS = 10_000;

/** A file on this machine, and where a debugger looks for it. */
export interface PlacedFile {
  /** In a root, absolute and normal, or in a folder of debug info, relative. With slashes on every system. */
  place: string;
  /** Where it lies here. */
  path: string;
  /** What it must say of itself; left out where it was taken as it is. */
  buildId?: string;
}

/** Everything of a crash that a debugger reads beside the core. */
export interface CrashFiles {
  program?: PlacedFile;
  /** The package of the program's split debug info. */
  programDwp?: string;
  /** Libraries, by the kernel's paths; those of the program and the package too. */
  files: PlacedFile[];
  /** The same files by the other paths that the loader knows: names in the root. */
  aliases: { place: string; of: string }[];
  /** Debug info, as below `/usr/lib/debug`: `.build-id/ab/cdef.debug`. */
  debug: PlacedFile[];
  /** Why the program is not the one that crashed. */
  notes: string[];
  /** What was not found. */
  missing: string[];
}

/** Find the files of a crash by their build-ids. @throws {CdhError} the CDH_BUNDLE and CDH_STORE families */
export async function findCrashFiles(opened: OpenedFile, wishes: FileWishes, signal: AbortSignal): Promise<CrashFiles> {
  const facts = await opened.facts();
  const found: CrashFiles = { files: [], aliases: [], debug: [], notes: [], missing: [] };
  const places = new Map<bigint, string>();
  const taken = new Map<string, string | undefined>();
  for (const module of facts.modules.slice(0, FILES_MAX)) {
    signal.throwIfAborted();
    const place = tryPlace(module.path);
    if (place === undefined) continue;
    const { buildId } = module;
    if (taken.has(place)) {
      // Replaced while it ran: only one of them can lie there.
      if (buildId !== undefined && taken.get(place) !== buildId)
        found.missing.push(`${place} (build-id ${buildId}: another one has its place)`);
      continue;
    }
    taken.set(place, buildId);
    const path = await findFile(module, place, wishes, found);
    if (path === undefined) continue;
    places.set(module.start, place);
    const isGiven = wishes.sysroot !== undefined || (module.executable === true && wishes.exe !== undefined);
    found.files.push({ place, path, ...(buildId === undefined || isGiven ? {} : { buildId }) });
    if (module.executable === true) found.program = { place, path };
  }
  for (const { start, path } of await loaderNames(opened, facts, found, signal)) {
    const [place, of] = [tryPlace(path), places.get(start)];
    if (place === undefined || of === undefined || taken.has(place)) continue;
    taken.set(place, undefined);
    found.aliases.push({ place, of });
  }
  const others = facts.modules.length - FILES_MAX;
  if (others > 0) found.missing.push(`${others} more files: ${FILES_MAX} of a crash are looked for`);
  await addDebugFiles(facts.modules, wishes, found);
  return found;
}

async function findFile(
  module: CoreModule,
  place: string,
  wishes: FileWishes,
  { notes, missing }: CrashFiles,
): Promise<string | undefined> {
  const { buildId, sha256, goBuildId, executable } = module;
  // By its path alone, a library of this machine would be taken for another's.
  const isGiven = wishes.sysroot !== undefined || (executable === true && wishes.exe !== undefined);
  if (buildId === undefined && goBuildId === undefined && sha256 === undefined && !isGiven) {
    missing.push(`${place} (no build-id)`);
    return undefined;
  }
  const { file, mismatch } = await findModuleFile(module, wishes);
  await file?.close();
  if (mismatch !== undefined && executable === true) notes.push(`another build: ${mismatch}`);
  if (file === undefined) missing.push(`${place} (${idShown(module)})`);
  return file?.path;
}

function idShown({ buildId, sha256, goBuildId }: CoreModule): string {
  const id = buildId ?? goBuildId;
  return id === undefined && sha256 !== undefined ? `SHA-256 ${sha256}` : `build-id ${id}`;
}

/** The list lies where the crashed process put it, each name in another part of the core if it wants: it is read so far, and told. */
async function loaderNames(
  opened: OpenedFile,
  facts: CoreFacts,
  { missing }: CrashFiles,
  signal: AbortSignal,
): Promise<{ start: bigint; path: string }[]> {
  const core = await opened.core();
  const late = AbortSignal.timeout(LOADER_TIMEOUT_MS);
  const either = AbortSignal.any([signal, late]);
  let reads = 0;
  let isCut = false;
  const memory = new CoreMemory(facts, (offset, length) => core.read(offset, length, either));
  const names = await readLoaderNames(facts, async (address, length) => {
    reads += 1;
    isCut ||= reads > LOADER_READS_MAX || late.aborted;
    if (isCut) return undefined;
    try {
      return await memory.read(address, length);
    } catch (error) {
      if (!late.aborted || signal.aborted) throw error;
      isCut = true;
      return undefined;
    }
  });
  if (isCut) missing.push("names of the loader: its list is longer, or further apart, than is read");
  return names;
}

async function addDebugFiles(modules: readonly CoreModule[], wishes: FileWishes, found: CrashFiles): Promise<void> {
  const { symbols } = wishes;
  const ids = new Set<string>();
  const add = async (module: CoreModule): Promise<void> => {
    const { buildId } = module;
    if (buildId === undefined || ids.has(buildId) || ids.size >= FILES_MAX) return;
    ids.add(buildId);
    const file = await findDebugFile(module, undefined, wishes);
    await file?.close();
    if (file === undefined) return;
    found.debug.push({ place: placeById(buildId, ".debug"), path: file.path, buildId });
    // What several share, as Debian's packages do.
    const shared = (await tryExamineFile(file.path))?.sharedBuildId;
    if (shared !== undefined) await add({ ...module, buildId: shared });
  };
  for (const module of modules.slice(0, FILES_MAX)) await add(module);
  const program = modules.find(({ executable }) => executable === true)?.buildId;
  const dwp = program === undefined ? undefined : await symbols?.find(program, "dwp");
  if (dwp !== undefined) found.programDwp = dwp;
}

/** Where debuggers look for a file by its build-id, below a folder of debug info. */
export function placeById(buildId: string, suffix: "" | ".debug"): string {
  return join(".build-id", buildId.slice(0, 2), `${buildId.slice(2)}${suffix}`);
}

/** Two names may mean one place: `/a/../b` and `/b`. Undefined for what is no plain path. */
function tryPlace(path: string): string | undefined {
  const plain = path.replace(/ \(deleted\)$/, "");
  return isPlainPath(plain) && normalize(plain) !== "/" ? normalize(plain) : undefined;
}
