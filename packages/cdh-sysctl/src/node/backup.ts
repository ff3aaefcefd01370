import { renameSync, rmSync } from "node:fs";
import { writeAtomicallySync } from "@cdh/core/files/write-atomically";
import { backupName, judgeSavedValue, type KernelValueName, type SavedValue } from "@cdh/core/kernel/values";
import { readTextIfThere } from "./files.ts";
import { inHostDir, type Node } from "./target-node.ts";

/** What a backup file holds. */
export type Backup = { state: "absent" } | SavedValue;

/** Path of the file that keeps the node's own value of a setting. */
export function backupPath(node: Node, name: KernelValueName): string {
  return inHostDir(node, backupName(name));
}

/** Read a backup, and judge whether it can be the node's own value. */
export function readBackup(node: Node, name: KernelValueName): Backup {
  const text = readTextIfThere(backupPath(node, name));
  if (text === undefined) return { state: "absent" };
  return judgeSavedValue(name, text);
}

/** Save the node's own value, and keep an unusable backup beside it as evidence. */
export function writeBackup(node: Node, name: KernelValueName, value: string): void {
  const path = backupPath(node, name);
  if (readTextIfThere(path) !== undefined) renameSync(path, `${path}.unusable`);
  writeAtomicallySync(path, value === "" ? "\n" : value, { mode: 0o600 });
}

/** Remove a backup and its evidence. */
export function removeBackup(node: Node, name: KernelValueName): void {
  rmSync(backupPath(node, name), { force: true });
  rmSync(`${backupPath(node, name)}.unusable`, { force: true });
}
