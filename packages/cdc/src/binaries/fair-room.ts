import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { tryParseJson } from "@cdh/core/json";
import { binaryPaths, tryParseBinaryName, tryReadSpooledBinary } from "@cdh/core/spool/binaries";
import { BINARIES_DIRECTORY } from "@cdh/core/spool/layout";
import { takenBytes, type SpooledUse } from "./spooled.ts";

/** Bounds of what is read of one file's facts. */
const FACTS_LIMITS = { bytes: 16 * 1024, depth: 4, elements: 64 };
/** Stands for files of pods that the node could not prove, and of the node itself: they share one part. */
const NOBODY = "";

/** A file that waits. */
interface WaitingFile extends SpooledUse {
  paths: string[];
  namespace: string;
  modifiedAt: number;
}

/**
 * Make room in the pool of waiting files for one more. While the pool is full, whichever namespace takes most of it gives its newest
 * files up, as long as it keeps more than the newcomer's would have: no tenant, however it crashes, keeps another's files out. What was
 * given up comes again with the next crash. The namespace is the proven one of the pod, which no process can choose.
 * @param use what all of them take; it is brought up to date
 * @param wanted what the new file takes
 * @returns whether there is room now; nothing was given up when not
 */
export async function makeFairRoom(
  coreDir: string,
  use: SpooledUse,
  pool: SpooledUse,
  wanted: SpooledUse & { namespace: string | undefined },
): Promise<boolean> {
  const fits = (taken: SpooledUse): boolean =>
    taken.bytes + wanted.bytes <= pool.bytes && taken.names + wanted.names <= pool.names;
  if (fits(use)) return true;
  const mine = wanted.namespace ?? NOBODY;
  const byNamespace = new Map<string, WaitingFile[]>();
  for (const file of waitingIn(coreDir))
    byNamespace.set(file.namespace, [...(byNamespace.get(file.namespace) ?? []), file]);
  const shareOf = (files: readonly WaitingFile[]): number =>
    Math.max(sum(files, "bytes") / pool.bytes, sum(files, "names") / pool.names);
  const after = shareOf([...(byNamespace.get(mine) ?? []), { ...wanted, namespace: mine, paths: [], modifiedAt: 0 }]);
  const left = { ...use };
  const givenUp: WaitingFile[] = [];
  while (!fits(left)) {
    const [largest] = [...byNamespace].toSorted(([, a], [, b]) => shareOf(b) - shareOf(a));
    const files = largest?.[0] === mine ? undefined : largest?.[1];
    const newest = files?.toSorted((a, b) => a.modifiedAt - b.modifiedAt).at(-1);
    if (largest === undefined || files === undefined || newest === undefined) return false;
    const rest = files.filter((file) => file !== newest);
    if (shareOf(rest) < after) return false;
    byNamespace.set(largest[0], rest);
    givenUp.push(newest);
    left.bytes -= newest.bytes;
    left.names -= newest.names;
  }
  for (const { paths } of givenUp) for (const path of paths) rmSync(path, { force: true });
  Object.assign(use, left);
  return true;
}

function sum(files: readonly SpooledUse[], what: keyof SpooledUse): number {
  return files.reduce((total, file) => total + file[what], 0);
}

function waitingIn(coreDir: string): WaitingFile[] {
  const folder = join(coreDir, BINARIES_DIRECTORY);
  return readdirSync(folder).flatMap((name) => {
    const id = tryParseBinaryName(name);
    if (id === undefined) return [];
    const { packed, facts } = binaryPaths(coreDir, id);
    const paths = [packed, facts];
    const modifiedAt = statSync(packed, { throwIfNoEntry: false })?.mtimeMs;
    if (modifiedAt === undefined) return [];
    const bytes = paths.reduce((total, path) => total + takenBytes(path), 0);
    return [{ paths, namespace: namespaceOf(facts), modifiedAt, bytes, names: paths.length }];
  });
}

function namespaceOf(path: string): string {
  try {
    return tryReadSpooledBinary(tryParseJson(readFileSync(path), FACTS_LIMITS))?.namespace ?? NOBODY;
  } catch {
    return NOBODY;
  }
}
