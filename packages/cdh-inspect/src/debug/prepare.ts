import { mkdir, mkdtemp, readlink, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, normalize, resolve } from "node:path";
import type { CliContext } from "@cdh/core/cli";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { isPlainPath, tryOpenForeign } from "@cdh/core/files/open-foreign";
import { startProgress } from "@cdh/core/progress";
import type { OpenedFile } from "../read/opened-file.ts";
import { unpackCore } from "../unpack/unpack.ts";
import { FILES_MAX, findCrashFiles, type CrashFiles } from "./crash-files.ts";
import { DEBUG_FOLDER, type FileWishes } from "./find-files.ts";

/** Of these the root of most distributions has links into /usr: the loader's list names a library by them, the kernel without. */
const MERGED = ["lib", "lib32", "lib64", "libx32", "bin", "sbin"];
/** A name of another machine on Windows, where opening it logs in there; the kernel writes no such name. */
const OF_ANOTHER_MACHINE = /^[/\\]{2}/;

/** What a debugger is started with. */
export interface Prepared {
  corePath: string;
  exePath?: string;
  /** Where the debugger looks for what the core names: the root that was given, or links to files that were looked at. */
  sysroot: string;
  /** Has the store's debugging symbols in `.build-id`, as below `/usr/lib/debug`. */
  debugFolder?: string;
  /** What a person should know: another build, no program. */
  notes: string[];
  /** Take away what was made. */
  dispose(): Promise<void>;
}

/**
 * Put everything a debugger needs in its place: the core as a file, the program with the right build-id, a sysroot.
 * A debugger opens what the core names, so it finds only what may be opened.
 * @throws {CdhError} CDH_DISK; CDH_BUNDLE_NAME when the core names files of other machines; the CDH_BUNDLE family
 */
export async function prepareDebugging(
  opened: OpenedFile,
  wishes: FileWishes,
  context: Pick<CliContext, "stderr" | "clock" | "stopSignal">,
): Promise<Prepared> {
  const directory = await mkdtemp(join(tmpdir(), "cdh-inspect-")).catch((error: unknown) => {
    throw new CdhError("CDH_DISK", `cannot make a directory in ${tmpdir()}: ${reasonOf(error)}`, {
      hint: "set TMPDIR to a place with room for the core",
      cause: error,
    });
  });
  const dispose = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const facts = await opened.facts();
    refuseOtherMachines(facts);
    const files = await findCrashFiles(opened, wishes, context.stopSignal);
    const notes = [...files.notes];
    const exePath = wishes.exe ?? files.program?.path;
    const isLocal =
      files.program !== undefined &&
      facts.modules.some(({ path, executable }) => executable === true && path === files.program?.path);
    if (exePath === undefined)
      notes.push(`the program is not here: give it with --exe, or its root with --sysroot${describe(opened)}`);
    return {
      corePath: await corePathOf(opened, directory, context),
      ...(exePath === undefined ? {} : { exePath: await layProgram(resolve(exePath), files, directory) }),
      sysroot: wishes.sysroot === undefined ? await layRoot(files, facts, isLocal, directory) : resolve(wishes.sysroot),
      ...(await layDebugFolder(files, directory)),
      notes,
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/**
 * No setting keeps a debugger from opening what does not begin with the root's separator.
 * @throws {CdhError} CDH_BUNDLE_NAME
 */
export function refuseOtherMachines({ mappings }: CoreFacts): void {
  const found = mappings.find(({ path }) => OF_ANOTHER_MACHINE.test(path));
  if (found === undefined) return;
  throw new CdhError("CDH_BUNDLE_NAME", `no debugger may open a core that names ${JSON.stringify(found.path)}`, {
    hint: "--raw walks the stacks without one",
  });
}

/**
 * Libraries of this machine that belong to another program would give wrong names, and other files are traps: the debugger
 * gets a root that has only links to those with the right build-id. Where the program itself is this machine's, also to
 * regular files that have none.
 */
async function layRoot(
  { files, aliases, program }: CrashFiles,
  { mappings }: CoreFacts,
  isLocal: boolean,
  directory: string,
): Promise<string> {
  const root = join(directory, "sysroot");
  await mkdir(root);
  const seen = new Set<string>();
  const link = async (place: string, target: string): Promise<void> => {
    const path = join(root, place);
    await makeFolders(dirname(path));
    await symlink(target, path).catch(() => {});
  };
  const paths = new Map(files.map(({ place, path }) => [place, path]));
  for (const { place, path } of files) {
    seen.add(place);
    if (place !== program?.place) await link(place, path);
  }
  if (isLocal)
    for (const name of MERGED) {
      const target = await readlink(`/${name}`).catch(() => undefined);
      if (target !== `usr/${name}` || isBelow(seen, `/${name}/`)) continue;
      await makeFolders(join(root, target));
      await symlink(target, join(root, name));
    }
  for (const { place, of } of aliases) await link(place, paths.get(of) ?? "");
  if (!isLocal) return root;
  for (const { path } of mappings) {
    if (!isPlainPath(path) || seen.has(path) || seen.size >= FILES_MAX) continue;
    seen.add(path);
    const found = await tryOpenForeign(path);
    if (found === undefined) continue;
    await found.file.close();
    await link(normalize(path), found.path);
  }
  return root;
}

function isBelow(paths: ReadonlySet<string>, folder: string): boolean {
  return [...paths].some((path) => path.startsWith(folder));
}

/** Lay the debugging symbols that this machine's own folder does not have where a debugger finds them by build-id. */
async function layDebugFolder({ debug }: CrashFiles, directory: string): Promise<{ debugFolder?: string }> {
  const folder = join(directory, "debug");
  const fetched = debug.filter(({ path }) => !path.startsWith(`${DEBUG_FOLDER}/`));
  for (const { place, path } of fetched) {
    await makeFolders(dirname(join(folder, place)));
    await symlink(path, join(folder, place)).catch(() => {});
  }
  return fetched.length === 0 ? {} : { debugFolder: folder };
}

/** A debugger looks for the package of split debug info beside the program, by the name that it was given. */
async function layProgram(exePath: string, { programDwp }: CrashFiles, directory: string): Promise<string> {
  if (programDwp === undefined) return exePath;
  const path = join(directory, "program");
  await symlink(exePath, path);
  await symlink(programDwp, `${path}.dwp`);
  return path;
}

async function corePathOf(
  opened: OpenedFile,
  directory: string,
  context: Pick<CliContext, "stderr" | "clock" | "stopSignal">,
): Promise<string> {
  const core = await opened.core();
  if (opened.kind === "core" && core.layout === "stored" && !opened.label.includes("://")) return resolve(opened.label);
  const path = join(directory, "core");
  const progress = startProgress(context.stderr, context.clock, "core", core.sizeBytes);
  try {
    await unpackCore(core, path, {
      signal: context.stopSignal,
      sha256: opened.manifest.core.sha256,
      onProgress: progress.update,
    });
  } finally {
    progress.end();
  }
  return path;
}

function describe({ manifest }: OpenedFile): string {
  const { exe, exeBuildId } = manifest.process;
  const image = manifest.container?.imageRef;
  const parts = [
    exe,
    exeBuildId === undefined ? undefined : `build-id ${exeBuildId}`,
    image === undefined ? undefined : `image ${image}`,
  ];
  const known = parts.filter((part) => part !== undefined);
  return known.length === 0 ? "" : ` (${known.join(", ")})`;
}
