import { closeSync } from "node:fs";
import { hashBytes } from "@cdh/core/debug-files/pack";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { startsLikeElf } from "@cdh/core/elf/format";
import type { KeptFile } from "../stack/crash-stacks.ts";
import { openHeld } from "../stack/held-files.ts";

/** What is hashed of one crash, in bytes: a tenth of a second. The store names larger files by their build-id alone. */
const HASHED_MAX_BYTES = 64 * 1024 * 1024;
const MAGIC_BYTES = 4;

/**
 * Give files that have no build-id their SHA-256, under which the store keeps them. They are read from what is held open, after
 * the crashed process was let go. Never throws: a file that cannot be read stays without.
 */
export async function hashUnnamed(facts: CoreFacts, kept: readonly KeptFile[]): Promise<CoreFacts> {
  const descriptors = new Map(kept.map(({ path, fd }) => [path, fd]));
  const known = new Map<string, string | undefined>();
  let left = HASHED_MAX_BYTES;
  const hash = async (path: string): Promise<string | undefined> => {
    const kernelFd = descriptors.get(path);
    if (kernelFd === undefined) return undefined;
    try {
      const { fd, source } = openHeld(kernelFd);
      try {
        if (source.sizeBytes > left || !startsLikeElf(await source.read(0, MAGIC_BYTES))) return undefined;
        left -= source.sizeBytes;
        return await hashBytes(source);
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
  };
  // The program first: what is left is for its libraries.
  for (const { path, buildId } of facts.modules.toSorted(
    (a, b) => Number(b.executable === true) - Number(a.executable === true),
  ))
    if (buildId === undefined && !known.has(path)) known.set(path, await hash(path));
  return {
    ...facts,
    modules: facts.modules.map((module) => {
      const sha256 = module.buildId === undefined ? known.get(module.path) : undefined;
      return sha256 === undefined ? module : { ...module, sha256 };
    }),
  };
}
