import { isHandlerPattern } from "./pattern.ts";

/** The three kernel settings that capture needs, in the order in which `install` sets them. */
export const KERNEL_VALUES = ["core_pipe_limit", "core_pattern", "suid_dumpable"] as const;

/** Name one of the three settings; also the stem of its backup file. */
export type KernelValueName = (typeof KERNEL_VALUES)[number];

/** One text for each of the three settings. */
export type KernelValues = Record<KernelValueName, string>;

/** Names as sysctl(8) spells them. */
export const SYSCTL_NAMES: Readonly<Record<KernelValueName, string>> = {
  core_pattern: "kernel.core_pattern",
  core_pipe_limit: "kernel.core_pipe_limit",
  suid_dumpable: "fs.suid_dumpable",
};

/** Name of the file in HOST_DIR that keeps the node's own value of a setting. The names are IBM's. */
export function backupName(name: KernelValueName): string {
  return `${name}.bak`;
}

/** A text that was saved as the node's own value of a setting. */
export type SavedValue = { state: "valid"; value: string } | { state: "unusable"; reason: string };

/** Tell whether a text can be a node's own value of a setting. Never a handler's: that would make a restore do nothing. */
export function judgeSavedValue(name: KernelValueName, text: string): SavedValue {
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

/** Path of a setting below a /proc. */
export function kernelValueFile(proc: string, name: KernelValueName): string {
  return `${proc}/sys/${SYSCTL_NAMES[name].replaceAll(".", "/")}`;
}
