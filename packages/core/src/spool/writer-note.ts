import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { encodeManifest } from "../bundle/encode-manifest.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { parseManifest } from "../bundle/reader-manifest.ts";
import { FILE_MODE } from "./layout.ts";
import { writerMarksDirectory } from "./writer-mark.ts";

/** More than a manifest without threads and modules ever takes. */
const NOTE_MAX_BYTES = 1024 * 1024;

/**
 * Path of the note that the composer of a large core leaves beside its mark: the manifest as far as it is known while
 * the core still arrives. Should the composer die, salvage knows the pod from it.
 */
export function writerNotePath(coreDir: string, name: string): string {
  return join(writerMarksDirectory(coreDir), `${name}.json`);
}

/** Leave the note; its directory is there since the mark was made. */
export async function writeWriterNote(coreDir: string, name: string, manifest: Manifest): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(writerNotePath(coreDir, name), flags, FILE_MODE);
  try {
    await file.writeFile(encodeManifest(manifest).bytes);
  } finally {
    await file.close();
  }
}

/** Read the note; undefined when there is none that is whole. */
export async function readWriterNote(coreDir: string, name: string): Promise<Manifest | undefined> {
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(writerNotePath(coreDir, name), flags);
    try {
      const { size } = await file.stat();
      return size > NOTE_MAX_BYTES ? undefined : parseManifest(await file.readFile(), `the note of ${name}`);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
