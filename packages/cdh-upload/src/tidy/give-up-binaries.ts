import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { BINARIES_DIRECTORY } from "@cdh/core/spool/layout";

/** Remove files of programs that wait, unfinished ones too, for bundles that have no room beside them. @returns whether there were any */
export async function giveUpBinaries(coreDir: string): Promise<boolean> {
  const folder = join(coreDir, BINARIES_DIRECTORY);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) await rm(join(folder, name), { force: true });
  return names.length > 0;
}
