import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DIRECTORY_MODE, FILE_MODE } from "./layout.ts";

/** Read a JSON state file; undefined when it is missing or damaged, because state may always be lost. */
export async function readStateFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** Write a JSON state file so that a reader sees the old one or the new one, also after a power cut. */
export async function writeStateFile(path: string, value: unknown): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  // Short, because the name itself may be as long as a name can be.
  const hidden = join(dirname(path), `.state.${randomBytes(6).toString("hex")}`);
  try {
    const file = await open(hidden, "wx", FILE_MODE);
    try {
      await file.writeFile(`${JSON.stringify(value)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(hidden, path);
  } catch (error) {
    await rm(hidden, { force: true });
    throw error;
  }
}
