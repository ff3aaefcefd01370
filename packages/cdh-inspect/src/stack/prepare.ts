import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeModules } from "@cdh/core/bundle/manifest-from-core";
import type { CliContext } from "@cdh/core/cli";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { startProgress } from "@cdh/core/progress";
import type { Subject } from "../subject.ts";
import { unpackCore } from "../unpack.ts";
import { findModuleFile, type FileWishes } from "./find-files.ts";

/** What a debugger is started with. */
export interface Prepared {
  corePath: string;
  exePath?: string;
  /** Where the debugger looks for libraries; an empty directory when those of this machine are others. */
  sysroot?: string;
  /** What a person should know: another build, no program. */
  notes: string[];
  /** Take away what was made. */
  dispose(): Promise<void>;
}

/**
 * Put everything a debugger needs in its place: the core as a file, the program with the right build-id, a sysroot.
 * @throws {CdhError} CDH_DISK; the CDH_BUNDLE family
 */
export async function prepareDebugging(
  subject: Subject,
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
    const notes: string[] = [];
    const facts = await subject.facts();
    const program = describeModules(facts)[facts.modules.findIndex((module) => module.executable === true)];
    let exePath = wishes.exe;
    let isLocal = false;
    if (program !== undefined) {
      const { file, mismatch } = await findModuleFile(program, true, wishes);
      await file?.elf.close();
      if (mismatch !== undefined) notes.push(`another build: ${mismatch}`);
      exePath ??= file?.path;
      isLocal = file !== undefined && file.path === program.path;
    }
    if (exePath === undefined)
      notes.push(`the program is not here: give it with --exe, or its root with --sysroot${describe(subject)}`);
    return {
      corePath: await corePathOf(subject, directory, context),
      ...(exePath === undefined ? {} : { exePath }),
      ...(await sysrootOf(wishes, isLocal, directory)),
      notes,
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Libraries of this machine that belong to another program would give wrong names. */
async function sysrootOf(wishes: FileWishes, isLocal: boolean, directory: string): Promise<{ sysroot?: string }> {
  if (wishes.sysroot !== undefined) return { sysroot: wishes.sysroot };
  if (isLocal) return {};
  const empty = join(directory, "no-sysroot");
  await mkdir(empty);
  return { sysroot: empty };
}

async function corePathOf(
  subject: Subject,
  directory: string,
  context: Pick<CliContext, "stderr" | "clock" | "stopSignal">,
): Promise<string> {
  const core = await subject.core();
  if (subject.kind === "core" && core.layout === "stored" && !subject.label.includes("://")) return subject.label;
  const path = join(directory, "core");
  const progress = startProgress(context.stderr, context.clock, "core", core.sizeBytes);
  try {
    await unpackCore(core, path, {
      signal: context.stopSignal,
      sha256: subject.manifest.core.sha256,
      onProgress: progress.update,
    });
  } finally {
    progress.end();
  }
  return path;
}

function describe({ manifest }: Subject): string {
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
