import { join } from "node:path";
import type { ModuleFacts } from "@cdh/core/bundle/manifest";
import { ElfFile } from "./elf-file.ts";

/** Say where the crashed program's files may be. */
export interface FileWishes {
  /** The program itself. */
  exe?: string | undefined;
  /** A directory that holds the crashed container's root, or the node's. */
  sysroot?: string | undefined;
}

/** A file that a module was mapped from. */
export interface FoundFile {
  path: string;
  elf: ElfFile;
}

/**
 * Find the file of a module: the one given, in the sysroot, or at the same path on this machine when its build-id says
 * that it is the same file. A file given for the program is taken as it is; `mismatch` then says that it is another build.
 * @param options.needsCode files that hold only symbols will not do
 */
export async function findModuleFile(
  module: ModuleFacts,
  isProgram: boolean,
  wishes: FileWishes,
  options: { needsCode?: boolean } = {},
): Promise<{ file?: FoundFile; mismatch?: string }> {
  const path = module.path.replace(/ \(deleted\)$/, "");
  const candidates: { path: string; isTrusted: boolean }[] = [];
  if (isProgram && wishes.exe !== undefined) candidates.push({ path: wishes.exe, isTrusted: true });
  if (path.startsWith("/")) {
    if (wishes.sysroot !== undefined) candidates.push({ path: join(wishes.sysroot, path), isTrusted: true });
    if (module.buildId !== undefined) {
      // Debian and Fedora keep the symbols of stripped files here, without code.
      if (options.needsCode !== true)
        candidates.push({
          path: `/usr/lib/debug/.build-id/${module.buildId.slice(0, 2)}/${module.buildId.slice(2)}.debug`,
          isTrusted: false,
        });
      candidates.push({ path, isTrusted: false });
    }
  }
  let mismatch: string | undefined;
  for (const candidate of candidates) {
    const elf = await ElfFile.tryOpen(candidate.path);
    if (elf === undefined) continue;
    const isSame = module.buildId !== undefined && elf.buildId === module.buildId;
    const isUnknown = module.buildId === undefined || elf.buildId === undefined;
    if (isSame || (isUnknown && candidate.isTrusted)) return { file: { path: candidate.path, elf } };
    if (!isUnknown && candidate.isTrusted)
      mismatch = `${candidate.path} has build-id ${elf.buildId}, the crashed one ${module.buildId}`;
    await elf.close();
  }
  return mismatch === undefined ? {} : { mismatch };
}
