import { stat } from "node:fs/promises";
import { dirname, join } from "node:path/posix";
import { storedIdOf, type DebugRole } from "@cdh/core/debug-files/keys";
import type { CoreModule } from "@cdh/core/elf/facts";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { DebugLink } from "@cdh/unwind/process/module-opener";
import { tryOpenForeignElf, tryOpenGivenElf, type OpenElf } from "./file-source.ts";
import type { SymbolFinder } from "./symbol-files.ts";

/** Say where the crashed program's files may be. */
export interface FileWishes {
  /** The program itself. */
  exe?: string | undefined;
  /** A directory that holds the crashed container's root, or the node's. */
  sysroot?: string | undefined;
  /** Knows files by build-id: the store that the crash came from. */
  symbols?: SymbolFinder | undefined;
}

/**
 * Refuse files that were named and are not there: without them the answer would be poorer, and nobody told.
 * @throws {CdhError} CDH_NOT_FOUND
 */
export async function refuseMissing({ exe, sysroot }: Pick<FileWishes, "exe" | "sysroot">): Promise<void> {
  for (const [flag, path] of [
    ["--exe", exe],
    ["--sysroot", sysroot],
  ] as const) {
    if (path === undefined) continue;
    const found = await stat(path).catch((error: unknown) => {
      throw new CdhError("CDH_NOT_FOUND", `${flag}: cannot read ${path}: ${reasonOf(error)}`, { cause: error });
    });
    const isRight = flag === "--exe" ? found.isFile() : found.isDirectory();
    if (!isRight)
      throw new CdhError("CDH_NOT_FOUND", `${flag}: ${path} is no ${flag === "--exe" ? "file" : "directory"}`);
  }
}

/** What is known of a module's file. */
export type WantedModule = Pick<CoreModule, "path" | "buildId" | "sha256" | "goBuildId" | "executable">;

/** Where Debian and Fedora keep the symbols of stripped files. */
export const DEBUG_FOLDER = "/usr/lib/debug";

/**
 * Find the file of a module: the one given, in the sysroot, or at the same path on this machine when its build-id says
 * that it is the same file; else in the store, by its build-id. A file given for the program is taken as it is; `mismatch` says that one of them is another build.
 */
export async function findModuleFile(
  module: WantedModule,
  wishes: FileWishes,
): Promise<{ file?: OpenElf; mismatch?: string }> {
  const path = module.path.replace(/ \(deleted\)$/, "");
  const { exe, sysroot } = wishes;
  const candidates: { open: () => Promise<OpenElf | undefined>; isTrusted: boolean; isFit?: true }[] = [];
  if (module.executable === true && exe !== undefined)
    candidates.push({ open: () => tryOpenGivenElf(exe), isTrusted: true });
  if (sysroot !== undefined) candidates.push({ open: () => tryOpenForeignElf(path, sysroot), isTrusted: true });
  candidates.push({ open: () => tryOpenForeignElf(path), isTrusted: false });
  candidates.push({ open: () => tryOpenStored(module.buildId, "executable", wishes), isTrusted: false });
  // The store's file of this SHA-256 is this very file.
  candidates.push({ open: () => tryOpenHashed(module, wishes), isTrusted: false, isFit: true });
  const mismatches: string[] = [];
  for (const { open, isTrusted, isFit } of candidates) {
    const file = await open();
    if (file === undefined) continue;
    const fit = isFit === true ? "same" : compareIds(module, file);
    if (fit === "same" || (fit === "unknown" && isTrusted))
      return { file, ...(mismatches[0] === undefined ? {} : { mismatch: mismatches[0] }) };
    if (fit === "other" && isTrusted)
      mismatches.push(
        `${file.path} has build-id ${file.elf.buildId ?? file.elf.goBuildId}, the crashed one ${module.buildId ?? module.goBuildId}`,
      );
    await file.close();
  }
  return mismatches[0] === undefined ? {} : { mismatch: mismatches[0] };
}

function compareIds(module: WantedModule, { elf }: OpenElf): "same" | "other" | "unknown" {
  for (const [wanted, found] of [
    [module.buildId, elf.buildId],
    [module.goBuildId, elf.goBuildId],
  ])
    if (wanted !== undefined && found !== undefined) return wanted === found ? "same" : "other";
  return "unknown";
}

/**
 * Find the file with a module's debugging symbols: by build-id below `usr/lib/debug` of the sysroot and of this machine, or in
 * the store; else by the name that the file gives, in the places where gdb looks, when the CRC says that it is the right one.
 */
export async function findDebugFile(
  module: WantedModule,
  link: DebugLink | undefined,
  wishes: FileWishes,
): Promise<OpenElf | undefined> {
  const roots = rootsOf(wishes);
  const id = module.buildId;
  for (const root of roots) {
    const path = pathByBuildId(id);
    const file = path === undefined ? undefined : await tryOpenForeignElf(path, root);
    if (file === undefined) continue;
    if (file.elf.buildId === id) return file;
    await file.close();
  }
  const stored = await tryOpenStored(id, "debuginfo", wishes);
  if (stored !== undefined) return stored;
  if (link?.crc === undefined) return undefined;
  const folder = dirname(module.path);
  const places = roots.flatMap((root) =>
    [folder, join(folder, ".debug"), join(DEBUG_FOLDER, folder)].map((place) => ({ place, root })),
  );
  // The program that a person gave may lie beside its symbols.
  if (module.executable === true && wishes.exe !== undefined) places.unshift({ place: "/", root: dirname(wishes.exe) });
  for (const { place, root } of places) {
    const file = await tryOpenForeignElf(join(place, link.name), root);
    if (file === undefined) continue;
    const crc = await file.crc32().catch(() => undefined);
    if (crc === link.crc) return file;
    await file.close();
  }
  return undefined;
}

/** Find the file that several debugging files share, by its path or its build-id. */
export async function findSharedDebugFile(link: DebugLink, wishes: FileWishes): Promise<OpenElf | undefined> {
  for (const root of rootsOf(wishes)) {
    for (const path of [pathByBuildId(link.buildId), link.name]) {
      const file = path === undefined ? undefined : await tryOpenForeignElf(path, root);
      if (file === undefined) continue;
      if (file.elf.buildId === link.buildId) return file;
      await file.close();
    }
  }
  return tryOpenStored(link.buildId, "debuginfo", wishes);
}

/** Find the package of a program's split debug info: beside the file that a person gave, else in the store. */
export async function findSplitPackage(
  module: WantedModule,
  { exe, symbols }: FileWishes,
): Promise<OpenElf | undefined> {
  const beside = module.executable === true && exe !== undefined ? await tryOpenGivenElf(`${exe}.dwp`) : undefined;
  if (beside !== undefined) return beside;
  const path = module.buildId === undefined ? undefined : await symbols?.find(module.buildId, "dwp");
  return path === undefined ? undefined : await tryOpenGivenElf(path);
}

async function tryOpenStored(
  buildId: string | undefined,
  role: DebugRole,
  { symbols }: FileWishes,
): Promise<OpenElf | undefined> {
  const path = buildId === undefined ? undefined : await symbols?.find(buildId, role);
  const file = path === undefined ? undefined : await tryOpenGivenElf(path);
  if (file === undefined || file.elf.buildId === buildId) return file;
  await file.close();
  return undefined;
}

async function tryOpenHashed(module: WantedModule, { symbols }: FileWishes): Promise<OpenElf | undefined> {
  const id = module.buildId === undefined ? storedIdOf(module) : undefined;
  const path = id === undefined ? undefined : await symbols?.find(id, "executable");
  const file = path === undefined ? undefined : await tryOpenGivenElf(path);
  // A program may be built with any build-id, another file's SHA-256 too.
  if (file === undefined || file.elf.buildId === undefined) return file;
  await file.close();
  return undefined;
}

/** The roots that are looked into: the one that was given, then this machine's own. */
function rootsOf({ sysroot }: FileWishes): (string | undefined)[] {
  return sysroot === undefined ? [undefined] : [sysroot, undefined];
}

function pathByBuildId(buildId: string | undefined): string | undefined {
  if (buildId === undefined || !/^[0-9a-f]{4,}$/.test(buildId)) return undefined;
  return join(DEBUG_FOLDER, ".build-id", buildId.slice(0, 2), `${buildId.slice(2)}.debug`);
}
