import { basename } from "node:path";
import type { DebugFileId } from "@cdh/core/debug-files/keys";
import { tryParseBuildId } from "@cdh/core/debug-files/keys";
import { debugRoleOf, type ElfContents } from "@cdh/unwind/elf/elf-contents";

/** A file that somebody wants to push, and what it says about itself; undefined for one that is no ELF file. */
export interface Examined {
  path: string;
  contents: ElfContents | undefined;
}

/** What becomes of it. */
export type Plan = { id: DebugFileId } | { refusal: string };

/**
 * Choose under which build-id and role each file is kept. Code with debug info is kept once, as debug info: it serves both.
 * A package of split debug info has no build-id: it is of the program beside it that it is named after (`app.dwp`).
 */
export function planPush(files: readonly Examined[]): Plan[] {
  const idByPath = new Map(files.map(({ path, contents }) => [path, contents?.buildId]));
  return files.map(({ path, contents }) => {
    if (contents === undefined) return { refusal: "no ELF file" };
    if (contents.isCore) return { refusal: "the core of a process, no program" };
    if (contents.cutShort !== undefined) return { refusal: `cut short: ${contents.cutShort}` };
    if (contents.isSplitPackage && contents.buildId === undefined) {
      const owner = path.replace(/\.dwp$/, "");
      const buildId = owner === path ? undefined : (idByPath.get(owner) ?? idByPath.get(`${owner}.debug`));
      const id = buildId === undefined ? undefined : tryParseBuildId(buildId);
      if (id === undefined) return { refusal: `push ${basename(owner)} with it: its build-id is not in here` };
      return { id: { buildId: id, role: "dwp" } };
    }
    if (contents.buildId === undefined)
      return { refusal: "it has no build-id (link it with -Wl,--build-id; Go: -ldflags=-B=gobuildid)" };
    const buildId = tryParseBuildId(contents.buildId);
    if (buildId === undefined) return { refusal: `its build-id ${contents.buildId} is not a usable one` };
    const role = debugRoleOf(contents);
    return role === undefined ? { refusal: "neither code nor debug info" } : { id: { buildId, role } };
  });
}
