import { mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";

/** A core of hundreds of gigabytes takes its time. */
const TAR_TIMEOUT_MS = 6 * 3600e3;

/**
 * Write a directory, and of that a tar, whole or not at all. The directory lies beside the tar, where there is room, and is gone
 * afterwards. Holes stay holes.
 * @param file compressed as its name says
 * @param write makes the directory
 * @throws {CdhError} CDH_DISK; CDH_RUNTIME when there is no tar; what `write` throws
 */
export async function writeAsTar<Result>(
  file: string,
  { force, signal }: { force: boolean; signal: AbortSignal },
  write: (directory: string) => Promise<Result>,
): Promise<Result> {
  const path = resolve(file);
  if (!force && (await stat(path).catch(() => undefined)) !== undefined)
    throw new CdhError("CDH_DISK", `cannot write ${file}: already exists`, { hint: "--force replaces it" });
  const parent = await mkdtemp(join(dirname(path), ".crash-")).catch((error: unknown) => {
    throw new CdhError("CDH_DISK", `cannot write ${file}: ${reasonOf(error)}`, { cause: error });
  });
  try {
    const base = basename(path).replace(/(\.tar)?\.[a-z0-9]+$/i, "");
    // Of dots alone it would be another folder.
    const name = /^\.*$/.test(base) ? "crash" : base;
    const result = await write(join(parent, name));
    // The ending says how it is compressed.
    const draft = join(parent, `draft-${basename(path)}`);
    const args = ["--create", "--auto-compress", "--sparse", "--owner=0", "--group=0", "--file", draft, "-C", parent];
    const done = await run("tar", [...args, `./${name}`], { timeoutMs: TAR_TIMEOUT_MS, signal });
    if (done.notStarted !== undefined)
      throw new CdhError("CDH_RUNTIME", `cannot start tar: ${done.notStarted}`, { hint: "leave --tar out" });
    if (done.failed)
      throw new CdhError("CDH_DISK", `tar cannot write ${file}: ${done.stderr.trim().split("\n").at(-1)}`);
    await rename(draft, path);
    return result;
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}
