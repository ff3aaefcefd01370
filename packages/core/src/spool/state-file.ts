import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { readJsonFile } from "../files/json-file.ts";
import { writeAtomically } from "../files/write-atomically.ts";
import { FILE_MODE } from "./layout.ts";
import { makeOwnDirectory } from "./spool-owner.ts";

/** Read a JSON state file; undefined when it is missing or damaged, because state may always be lost. */
export async function readStateFile(path: string): Promise<unknown> {
  return await readJsonFile(path).catch(() => undefined);
}

/** Write a JSON state file so that a reader sees the old one or the new one, also after a power cut. */
export async function writeStateFile(path: string, value: unknown): Promise<void> {
  await makeOwnDirectory(dirname(path));
  // Short, because the name itself may be as long as a name can be.
  const hidden = join(dirname(path), `.state.${randomBytes(6).toString("hex")}`);
  await writeAtomically(path, `${JSON.stringify(value)}\n`, { mode: FILE_MODE, partial: hidden, flush: "content" });
}
