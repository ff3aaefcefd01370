import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath } from "./tools.ts";

/**
 * Fetch a Debian package and unpack it into `.cache`. It is not installed: no script of it runs, the machine stays as it is.
 * @param file the program wanted, inside the package
 * @returns the program's path, or why there is none
 */
export function unpackDebianPackage(name: string, file: string): { path: string } | { reason: string } {
  const directory = join(REPOSITORY, ".cache/debian", name);
  const path = join(directory, file);
  if (!existsSync(path)) {
    for (const tool of ["apt-get", "dpkg"]) {
      const { reason } = findOnPath(tool);
      if (reason !== undefined) return { reason: `${reason}, which would fetch Debian's ${name}` };
    }
    mkdirSync(join(REPOSITORY, ".cache/debian"), { recursive: true });
    const fresh = mkdtempSync(`${directory}-`);
    const fetched = spawnSync("apt-get", ["download", name], { cwd: fresh, encoding: "utf8" });
    const archive = readdirSync(fresh).find((entry) => entry.endsWith(".deb"));
    if (fetched.status !== 0 || archive === undefined)
      return { reason: `apt-get download ${name}: ${fetched.stderr.trim()}` };
    const unpacked = spawnSync("dpkg", ["-x", join(fresh, archive), fresh], { encoding: "utf8" });
    if (unpacked.status !== 0) return { reason: `dpkg -x: ${unpacked.stderr.trim()}` };
    renameSync(fresh, directory);
  }
  const libraries = spawnSync("ldd", [path], { encoding: "utf8" }).stdout;
  const absent = /^\s*(\S+) => not found/m.exec(libraries)?.[1];
  return absent === undefined ? { path } : { reason: `${name} needs ${absent}, which this machine lacks` };
}
