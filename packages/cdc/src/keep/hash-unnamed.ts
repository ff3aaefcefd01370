import { soon } from "@cdh/core/async/soon";
import type { Problem } from "@cdh/core/bundle/manifest";
import type { Clock } from "@cdh/core/clock";
import { hashBytes } from "@cdh/core/debug-files/pack";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { startsLikeElf } from "@cdh/core/elf/format";
import type { KeptFile } from "../stack/crash-stacks.ts";
import { reopenFileLater } from "../stack/path-descriptor.ts";

/** What is hashed of one crash, in bytes: a tenth of a second. The store names larger files by their build-id alone. */
const HASHED_MAX_BYTES = 64 * 1024 * 1024;
/** The bundle waits no longer for it, in milliseconds. */
const HASHING_MAX_MS = 2_000;
const MAGIC_BYTES = 4;

/**
 * Give files that have no build-id their SHA-256, under which the store keeps them. They are read from what is held open, after
 * the crashed process was let go, on the thread pool: a file that does not answer costs its hash and a thread. Never throws: a
 * file that cannot be read, or not in time, stays without.
 */
export async function hashUnnamed(
  facts: CoreFacts,
  kept: readonly KeptFile[],
  clock: Clock,
): Promise<{ facts: CoreFacts; problems: Problem[] }> {
  const known = new Map<string, string>();
  const over = new AbortController();
  const isDone = await soon(hashInto(known, facts, kept, over.signal), HASHING_MAX_MS, clock);
  over.abort();
  const modules = facts.modules.map((module) => {
    const sha256 = module.buildId === undefined ? known.get(module.path) : undefined;
    return sha256 === undefined ? module : { ...module, sha256 };
  });
  const detail = `files without a build-id were not all read in ${HASHING_MAX_MS} ms: the store keeps none of the others`;
  const problems = isDone === true ? [] : [{ step: "binaries", code: "CDH_DEADLINE", detail }];
  return { facts: { ...facts, modules }, problems };
}

/** Hash the program first: what is left of the bytes is for its libraries. */
async function hashInto(
  known: Map<string, string>,
  { modules }: CoreFacts,
  kept: readonly KeptFile[],
  over: AbortSignal,
): Promise<true> {
  const descriptors = new Map(kept.map(({ path, fd }) => [path, fd]));
  const unnamed = modules.filter(({ buildId }) => buildId === undefined);
  const programFirst = unnamed.toSorted((a, b) => Number(b.executable === true) - Number(a.executable === true));
  let left = HASHED_MAX_BYTES;
  for (const path of new Set(programFirst.map((module) => module.path))) {
    const fd = descriptors.get(path);
    if (fd === undefined || over.aborted) continue;
    try {
      const { sizeBytes, sha256 } = await hashFile(fd, left, over);
      left -= sizeBytes;
      if (sha256 !== undefined && !over.aborted) known.set(path, sha256);
    } catch {
      // It stays without.
    }
  }
  return true;
}

/** @returns no hash of a file that is longer than `most` bytes, or no ELF file; then it took none of them */
async function hashFile(
  held: number,
  most: number,
  over: AbortSignal,
): Promise<{ sizeBytes: number; sha256?: string }> {
  const file = await reopenFileLater(held);
  try {
    const { size: sizeBytes } = await file.stat();
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    };
    if (sizeBytes > most || !startsLikeElf(await read(0, MAGIC_BYTES))) return { sizeBytes: 0 };
    return { sizeBytes, sha256: await hashBytes({ sizeBytes, read }, over) };
  } finally {
    await file.close();
  }
}
