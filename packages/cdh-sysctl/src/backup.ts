import { renameSync, rmSync } from "node:fs";
import { readTextIfThere, writeFileSafely } from "./files.ts";
import type { KernelValueName } from "./kernel-values.ts";
import { inHostDir, type Node } from "./node.ts";
import { isHandlerPattern } from "./ours.ts";

/** What a backup file holds. */
export type Backup = { state: "absent" } | { state: "valid"; value: string } | { state: "unusable"; reason: string };

/** Path of the file that keeps the node's own value of a setting. The names are IBM's. */
export function backupPath(node: Node, name: KernelValueName): string {
  return inHostDir(node, `${name}.bak`);
}

/** Read a backup, and judge whether it can be the node's own value. */
export function readBackup(node: Node, name: KernelValueName): Backup {
  const text = readTextIfThere(backupPath(node, name));
  if (text === undefined) return { state: "absent" };
  return judgeBackup(name, text);
}

/** Tell whether a text can be a node's own value of a setting. Never one of ours: that would make a restore do nothing. */
export function judgeBackup(name: KernelValueName, text: string): Backup {
  // A file without a single byte is what a full disk leaves behind; an empty value is written as one newline.
  if (text === "") return { state: "unusable", reason: "empty" };
  const value = text.replace(/\n$/, "");
  if (name !== "core_pattern") {
    const highest = name === "suid_dumpable" ? 2 : 0xffff_ffff;
    if (!/^\d{1,10}$/.test(value) || Number(value) > highest)
      return { state: "unusable", reason: "not a value of this setting" };
    return { state: "valid", value };
  }
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not be there
  if (/[\u0000-\u001f\u007f\ufffd]/.test(value) || Buffer.byteLength(value) > 127)
    return { state: "unusable", reason: "not a core pattern" };
  if (isHandlerPattern(value)) return { state: "unusable", reason: "a core dump handler's own line" };
  return { state: "valid", value };
}

/** Save the node's own value, and keep an unusable backup beside it as evidence. */
export function writeBackup(node: Node, name: KernelValueName, value: string): void {
  const path = backupPath(node, name);
  if (readTextIfThere(path) !== undefined) renameSync(path, `${path}.unusable`);
  writeFileSafely(path, value === "" ? "\n" : value, 0o600);
}

/** Remove a backup and its evidence. */
export function removeBackup(node: Node, name: KernelValueName): void {
  rmSync(backupPath(node, name), { force: true });
  rmSync(`${backupPath(node, name)}.unusable`, { force: true });
}
