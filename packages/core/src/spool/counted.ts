import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { encodeManifest } from "../bundle/encode-manifest.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { parseManifest } from "../bundle/reader-manifest.ts";
import { readBounded } from "../container/bounded-file.ts";
import { writeAtomically } from "../files/write-atomically.ts";
import { FILE_MODE, STATE_DIRECTORY } from "./layout.ts";

// Crashes that a limit left out are counted in small files, one for each place in a program: the manifest of the last of them,
// with `counted`. The composers add to it; the uploader makes a bundle of it, which then goes the way of all bundles. Each takes
// a file out of the way by renaming it, so that no count is there twice and none is lost between them.

const SUFFIX = ".json";
/** Longer than a manifest without threads and modules ever is. */
const BYTES_MAX = 256 * 1024;

/** Directory of the counts. */
export function countedDirectory(coreDir: string): string {
  return join(coreDir, STATE_DIRECTORY, "counted");
}

/** List the names of counts that nobody has taken. */
export async function listCounted(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith(SUFFIX) && !name.startsWith("."));
}

/** List where counts lie that were taken with a mark, alone or with more behind a hyphen. @param mark letters */
export async function listTaken(directory: string, mark: string): Promise<string[]> {
  const names = await readdir(directory);
  return names
    .filter((name) => name.startsWith(".") && !name.endsWith(".tmp") && new RegExp(`\\.${mark}(?:-\\w+)?$`).test(name))
    .map((name) => join(directory, name));
}

const OWNER_CHARS = 16;

/** Name the file of a count. @param owner whose it is, hexadecimal @param key of the place; absent: all places of the owner that have none */
export function countedName(owner: string, key = "others"): string {
  return `${owner.slice(0, OWNER_CHARS)}-${key}${SUFFIX}`;
}

/** Tell whose a count is, as far as its file's name says: who crashes cannot choose it. */
export function countedOwner(name: string): string {
  return name.slice(0, OWNER_CHARS);
}

/** Where a count lies while somebody has it: hidden, so that it is listed no more. */
export function takenPath(directory: string, name: string, mark: string): string {
  return join(directory, `.${name}.${mark}`);
}

/** Take a count out of the way of everybody else. @returns where it lies then; undefined when there is none */
export async function takeCounted(directory: string, name: string, mark: string): Promise<string | undefined> {
  const path = takenPath(directory, name, mark);
  try {
    await rename(join(directory, name), path);
    return path;
  } catch {
    return undefined;
  }
}

/** Read a count; undefined where it is damaged. */
export async function readCounted(path: string): Promise<Manifest | undefined> {
  try {
    const { bytes, cut } = await readBounded(path, BYTES_MAX);
    const manifest = cut ? undefined : parseManifest(bytes, "a count of crashes");
    return manifest?.counted === undefined ? undefined : manifest;
  } catch {
    return undefined;
  }
}

/** Put a count where it is found, in the place of what its writer took. */
export async function putCounted(directory: string, name: string, mark: string, manifest: Manifest): Promise<void> {
  const path = takenPath(directory, name, mark);
  const { bytes } = encodeManifest(manifest);
  await writeAtomically(path, bytes, { mode: FILE_MODE, partial: `${path}.tmp`, flush: "nothing" });
  await rename(path, join(directory, name));
}

/** Count one more crash. @param crashedAt RFC 3339 */
export function addCounted(
  before: NonNullable<Manifest["counted"]> | undefined,
  crashedAt: string,
): NonNullable<Manifest["counted"]> {
  if (before === undefined) return { count: 1, first: crashedAt, last: crashedAt };
  const { count, first, last } = before;
  return {
    count: count + 1,
    first: crashedAt < first ? crashedAt : first,
    last: crashedAt > last ? crashedAt : last,
  };
}
