import type { createHash } from "node:crypto";
import { constants, open, readFile, rm, writeFile, type FileHandle } from "node:fs/promises";
import { parseJson } from "@cdh/core/json";
import { FILE_MODE } from "@cdh/core/spool/layout";

/** What an earlier, interrupted run has written of a core, so that the next one goes on. */
export interface Progress {
  /** Of the whole core: only the same core may be gone on with. */
  sha256: string;
  sizeBytes: number;
  /** Everything before this offset is written, holes included. */
  doneBytes: number;
}

const READ_BYTES = 1024 * 1024;

/** Where the state of a half-written file lies. */
export function progressPath(partial: string): string {
  return `${partial}.json`;
}

/** Remember how far a half-written file is. */
export async function saveProgress(partial: string, progress: Progress): Promise<void> {
  await writeFile(progressPath(partial), `${JSON.stringify(progress)}\n`, { mode: FILE_MODE });
}

/** Forget it. */
export async function forgetProgress(partial: string): Promise<void> {
  await rm(progressPath(partial), { force: true });
}

/**
 * Open a half-written file of the same core and hash what it holds.
 * @returns where to go on, or undefined when there is nothing to go on with
 */
export async function tryResume(
  partial: string,
  wanted: { sha256: string; sizeBytes: number },
  hash: ReturnType<typeof createHash>,
): Promise<{ file: FileHandle; doneBytes: number } | undefined> {
  const known = parseProgress(await readFile(progressPath(partial), "utf8").catch(() => ""));
  if (known === undefined || known.sha256 !== wanted.sha256 || known.sizeBytes !== wanted.sizeBytes) return undefined;
  // Where the system has no O_NOFOLLOW, links need rights that nobody has by default.
  const file = await open(partial, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    if (await readOn(file, known.doneBytes, hash)) return { file, doneBytes: known.doneBytes };
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/** Cut a file to what is known of it, and hash that. @returns false where it is no plain file */
async function readOn(file: FileHandle, doneBytes: number, hash: ReturnType<typeof createHash>): Promise<boolean> {
  if (!(await file.stat()).isFile()) return false;
  // A hole at the end is not in the file's length yet.
  await file.truncate(doneBytes);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let at = 0; at < doneBytes;) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(READ_BYTES, doneBytes - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return true;
}

function parseProgress(text: string): Progress | undefined {
  try {
    const { sha256, sizeBytes, doneBytes } = parseJson(text) as Partial<Progress>;
    if (typeof sha256 !== "string" || !Number.isSafeInteger(sizeBytes) || !Number.isSafeInteger(doneBytes))
      return undefined;
    if (sizeBytes === undefined || doneBytes === undefined || doneBytes < 0 || doneBytes > sizeBytes) return undefined;
    return { sha256, sizeBytes, doneBytes };
  } catch {
    return undefined;
  }
}
