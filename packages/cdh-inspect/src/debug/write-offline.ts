import { copyFile, mkdir, open, realpath, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import posix from "node:path/posix";
import type { CliContext } from "@cdh/core/cli";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { openRegularFile } from "@cdh/core/files/regular-file";
import { startProgress } from "@cdh/core/progress";
import { CRASH_FOLDER, launchJson } from "@cdh/core/report/launch-json";
import { FILE_MODE } from "@cdh/core/spool/layout";
import type { OpenedFile } from "../read/opened-file.ts";
import { writeSparse } from "../unpack/sparse-file.ts";
import { unpackCore, type UnpackedFile } from "../unpack/unpack.ts";
import { findCrashFiles, placeById, type PlacedFile } from "./crash-files.ts";
import { fileSource, tryExamineFile } from "./file-source.ts";
import type { FileWishes } from "./find-files.ts";
import { OfflineMade, OTHERS } from "./offline-made.ts";
import { refuseOtherMachines } from "./prepare.ts";

const COPY_BYTES = 1024 * 1024;
/** How a system says that a name can have no place: another one of the crash has it, or is in its way. */
const NO_PLACE = new Set(["EEXIST", "ENOTDIR", "ENAMETOOLONG"]);

/** Where it is written, and what of it is this command's. */
interface Target {
  directory: string;
  made: OfflineMade;
}

/** Say how to write. */
export interface OfflineOptions {
  /** Write into a directory that has something in it already. */
  force: boolean;
  /** Text of `report.txt`. */
  report: string;
}

/** What was written. */
export interface WrittenOffline {
  core: UnpackedFile;
  /** Files below `sysroot`, and of debug info. */
  files: number;
  debugFiles: number;
  /** Of these files, holes not counted. */
  filesBytes: number;
  /** Files of the crash that were not found, and why the program may be another one. */
  missing: string[];
  notes: string[];
}

/**
 * Write a directory that any gdb opens without this program, this machine's files or a network. Every name that a debugger or
 * an editor reads as a command is ours.
 * @throws {CdhError} CDH_DISK; the CDH_BUNDLE family
 */
export async function writeOffline(
  opened: OpenedFile,
  directory: string,
  wishes: FileWishes,
  options: OfflineOptions,
  { stderr, clock, stopSignal: signal }: Pick<CliContext, "stderr" | "clock" | "stopSignal">,
): Promise<WrittenOffline> {
  const facts = await opened.facts();
  refuseOtherMachines(facts);
  const found = await findCrashFiles(opened, wishes, signal);
  const { notes } = found;
  const missing = [...found.missing];
  try {
    const made = await OfflineMade.begin(directory, options.force);
    const target = { directory, made };
    const at = (...names: string[]): string => join(directory, ...names);
    const { sysroot, debug } = CRASH_FOLDER;
    let filesBytes = 0;
    await mkdir(at(sysroot));
    const placed = new Set<string>();
    for (const file of found.files) {
      const bytes = await place(target, sysroot, file, signal);
      if (bytes === undefined) missing.push(`${file.place} (another file of the crash has its place)`);
      else if (bytes === "changed") missing.push(`${file.place} (another file lies there meanwhile)`);
      else {
        placed.add(file.place);
        filesBytes += bytes;
      }
    }
    for (const { place: name, of } of found.aliases) if (placed.has(of)) await link(target, sysroot, name, of);
    await mkdir(at(debug));
    let debugFiles = 0;
    for (const file of found.debug) {
      const bytes = await place(target, debug, file, signal);
      if (typeof bytes !== "number") continue;
      debugFiles += 1;
      filesBytes += bytes;
    }
    await linkByIds(facts, placed, target);
    const { programDwp } = found;
    const program = found.program !== undefined && placed.has(found.program.place) ? found.program : undefined;
    if (program !== undefined) await link(target, "", CRASH_FOLDER.program, `${sysroot}${program.place}`);
    const dwp = { place: `${CRASH_FOLDER.program}.dwp`, path: programDwp ?? "" };
    const dwpBytes = programDwp === undefined ? 0 : await place(target, "", dwp, signal);
    filesBytes += typeof dwpBytes === "number" ? dwpBytes : 0;
    await makeFolders(dirname(at(OTHERS.code)));
    for (const [name, text] of [
      [OTHERS.gdbinit, gdbinit(program !== undefined)],
      [OTHERS.report, options.report],
      [OTHERS.code, launchJson()],
    ] as const) {
      await made.note(name);
      await writeFile(at(name), text, { mode: FILE_MODE, flag: "wx" });
    }
    const core = await writeCore(opened, at(CRASH_FOLDER.core), { stderr, clock, stopSignal: signal });
    const crashedAt = Date.parse(opened.manifest.crashedAt) / 1000;
    if (crashedAt > 0) await utimes(core.path, crashedAt, crashedAt).catch(() => {});
    await made.finish();
    return { core, files: placed.size, debugFiles, filesBytes, missing, notes };
  } catch (error) {
    if (error instanceof CdhError || signal.aborted || errnoOf(error) === undefined) throw error;
    throw new CdhError("CDH_DISK", `cannot write ${directory}: ${reasonOf(error)}`, { cause: error });
  }
}

async function writeCore(
  opened: OpenedFile,
  path: string,
  { stderr, clock, stopSignal }: Pick<CliContext, "stderr" | "clock" | "stopSignal">,
): Promise<UnpackedFile> {
  const core = await opened.core();
  const progress = startProgress(stderr, clock, "core", core.sizeBytes);
  try {
    return await unpackCore(core, path, {
      force: true,
      sha256: opened.manifest.core.sha256,
      signal: stopSignal,
      onProgress: progress.update,
    });
  } finally {
    progress.end();
  }
}

/** The commands of `gdb -x gdbinit`, in the directory. */
function gdbinit(hasProgram: boolean): string {
  return [
    "# In this directory: gdb -nx -x gdbinit",
    "set auto-load off",
    `set sysroot ${CRASH_FOLDER.sysroot}`,
    `set debug-file-directory ${CRASH_FOLDER.debug}`,
    ...(hasProgram ? [`file ${CRASH_FOLDER.program}`] : []),
    `core-file ${CRASH_FOLDER.core}`,
    "",
  ].join("\n");
}

/**
 * Copy a file to its place, and look at the copy: what lay there may have been replaced since it was found, and nobody's other file goes
 * to whoever gets the directory.
 * @returns undefined where it can have no place: a crash may name a file below another one
 */
async function place(
  { directory, made }: Target,
  folder: string,
  { place: name, path, buildId }: PlacedFile,
  signal: AbortSignal,
): Promise<number | "changed" | undefined> {
  const target = join(directory, folder, name);
  try {
    await makeFolders(dirname(target));
    await made.note(posix.join(folder, name));
    const bytes = await copy(path, target, signal);
    const contents = await tryExamineFile(target);
    if (contents !== undefined && (buildId === undefined || contents.buildId === buildId)) return bytes;
    await rm(target, { force: true });
    return "changed";
  } catch (error) {
    if (NO_PLACE.has(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

/** Copy without holes: a program of gigabytes may hold little. @returns the bytes that were written */
async function copy(source: string, target: string, signal: AbortSignal): Promise<number> {
  const from = await openRegularFile(source, { followLinks: true });
  try {
    const to = await open(target, "wx", FILE_MODE);
    try {
      const { size } = await from.stat();
      const bytes = fileSource(from, size);
      let written = 0;
      for (let at = 0; at < size; at += COPY_BYTES) {
        signal.throwIfAborted();
        written += await writeSparse(to, Buffer.from(await bytes.read(at, COPY_BYTES)), at);
      }
      await to.truncate(size);
      return written;
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** Make a name for a file of the directory: a link that stays right when the directory moves; a copy where there are no links. */
async function link({ directory, made }: Target, folder: string, name: string, of: string): Promise<void> {
  const root = join(directory, folder);
  const path = join(root, name);
  try {
    await makeFolders(dirname(path));
    if (!(await isStraight(root, dirname(name)))) return;
    await made.note(posix.join(folder, name));
    const target = posix.relative(`/${dirname(name).replaceAll("\\", "/")}`, `/${of}`);
    await symlink(target, path).catch(async (error: unknown) => {
      if (process.platform !== "win32") throw error;
      await copyFile(join(root, of), path);
    });
  } catch (error) {
    if (!NO_PLACE.has(errnoOf(error) ?? "") && errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Tell whether no link lies on the way to a folder: through one, a relative link would lead to what its maker chose. */
async function isStraight(root: string, folder: string): Promise<boolean> {
  return (await realpath(join(root, folder))) === join(await realpath(root), folder);
}

/** gdb also looks for programs and libraries by build-id. */
async function linkByIds({ modules }: CoreFacts, places: ReadonlySet<string>, target: Target): Promise<void> {
  for (const { path, buildId } of modules) {
    const name = path.replace(/ \(deleted\)$/, "");
    if (buildId === undefined || !places.has(name)) continue;
    await link(target, "", join(CRASH_FOLDER.debug, placeById(buildId, "")), `${CRASH_FOLDER.sysroot}${name}`);
  }
}
