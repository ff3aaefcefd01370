import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, lstat, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { CdhError, errnoOf } from "../base/errors.ts";
import { openBundleFile } from "../bundle/reader.ts";
import { HEAD_MAX_BYTES, tryReadHead } from "./salvage-head.ts";
import { salvagePieces } from "./salvage-pieces.ts";
import { SalvageWindow } from "./salvage-window.ts";

/** The crash's id, which every composer puts into a bundle's name. */
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

/** File systems that know no hard links say one of these. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** How much of two files is compared at a time. */
const STEP_BYTES = 1024 * 1024;

/** Tell whether something has this name, whatever it is. */
export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** What has the name that a torn file would be published under, held open: it may be uploaded and removed meanwhile. */
export interface NameTaken {
  /**
   * Tell whether it holds everything that is whole in the torn bundle: it is a bundle that opens, and the same bytes go
   * as far in it as the torn one's last whole piece. Nothing is lost with such a torn file.
   */
  holds(torn: FileHandle): Promise<boolean>;
  close(): Promise<void>;
}

/** Look who has a bundle's name; undefined when nobody has. */
export async function findTaken(published: string, name: string): Promise<NameTaken | undefined> {
  if (!(await isThere(published))) return undefined;
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(published, flags).catch((error: unknown) => {
    // A link is nobody's bundle, and has the name all the same.
    if (errnoOf(error) === "ELOOP") return undefined;
    throw error;
  });
  return {
    holds: async (torn) => handle !== undefined && (await holdsTorn(handle, torn, name)),
    close: async () => handle?.close(),
  };
}

async function holdsTorn(published: FileHandle, torn: FileHandle, name: string): Promise<boolean> {
  const [one, other] = [await published.stat(), await torn.stat()];
  if (!one.isFile()) return false;
  // The name was given, and the file's former name not yet taken away.
  if (one.dev === other.dev && one.ino === other.ino) return true;
  if (!(await opensAsBundle(`/proc/self/fd/${published.fd}`))) return false;
  const same = await commonBytes(published, torn);
  return same >= other.size || (await endsWholeWithin(torn, other.size, name, same));
}

/**
 * Make the name of another crash out of a bundle's: as long as the old one, because the names inside of the bundle are
 * changed where they lie.
 * @returns undefined when the name holds no crash's id, which no composer's lacks
 */
export function tryMakeOwnName(name: string): string | undefined {
  const [former] = name.match(UUID) ?? [];
  return former === undefined ? undefined : name.replaceAll(former, randomUUID());
}

/** Tell whether two names differ in the crash's id alone. */
export function differInIdOnly(one: string, other: string): boolean {
  return one !== other && one.length === other.length && one.replaceAll(UUID, "") === other.replaceAll(UUID, "");
}

/**
 * Give a finished bundle its name, and never take it from another file that has it.
 * @throws {CdhError} CDH_DISK when the name was taken meanwhile; the claim is still there
 */
export async function giveName(claim: string, published: string): Promise<void> {
  const taken = (): CdhError => new CdhError("CDH_DISK", `cannot publish ${published}: it exists already`);
  try {
    await link(claim, published);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") throw taken();
    if (!NO_LINKS.includes(errnoOf(error) ?? "")) throw error;
    if (await isThere(published)) throw taken();
    return rename(claim, published);
  }
  await unlink(claim);
}

async function opensAsBundle(path: string): Promise<boolean> {
  try {
    const bundle = await openBundleFile(path);
    const isOurs = bundle.findRole("core") !== undefined;
    await bundle.close();
    return isOurs;
  } catch (error) {
    if (error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_")) return false;
    throw error;
  }
}

/** Count the bytes that two files have in common from their start. */
async function commonBytes(one: FileHandle, other: FileHandle): Promise<number> {
  const [mine, theirs] = [Buffer.allocUnsafe(STEP_BYTES), Buffer.allocUnsafe(STEP_BYTES)];
  for (let at = 0; ;) {
    const [a, b] = [await one.read(mine, 0, STEP_BYTES, at), await other.read(theirs, 0, STEP_BYTES, at)];
    const length = Math.min(a.bytesRead, b.bytesRead);
    if (length === 0) return at;
    if (mine.compare(theirs, 0, length, 0, length) === 0) {
      at += length;
      continue;
    }
    let index = 0;
    while (mine[index] === theirs[index]) index += 1;
    return at + index;
  }
}

/** Tell whether no piece of the core that is whole ends later than so many bytes after the file's start. */
async function endsWholeWithin(torn: FileHandle, size: number, name: string, limit: number): Promise<boolean> {
  const bytes = Buffer.alloc(Math.min(size, HEAD_MAX_BYTES));
  const { bytesRead } = await torn.read(bytes, 0, bytes.length, 0);
  const head = tryReadHead(bytes.subarray(0, bytesRead), name);
  if (typeof head !== "object") return false;
  let end = head.coreOffset;
  for await (const { stored } of salvagePieces(new SalvageWindow(torn, size), end, head.core.compression)) {
    end += stored.length;
    if (end > limit) return false;
  }
  return end <= limit;
}
