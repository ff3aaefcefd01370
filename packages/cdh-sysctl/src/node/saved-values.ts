import { dirname } from "node:path";
import { isHandlerPattern, parseCorePattern } from "@cdh/core/kernel/pattern";
import { readBackup } from "./backup.ts";
import { KERNEL_DEFAULTS, KERNEL_VALUES, type KernelValueName, type KernelValues } from "./kernel-values.ts";
import { findBootValue } from "./other-handlers.ts";
import type { Node } from "./target-node.ts";

/** The node's own value of a setting, and how we know. */
export interface OwnValue {
  value: string;
  /**
   * backup: saved by an earlier install · other: saved by a handler in another directory that held the kernel's line ·
   * current: the kernel's value now · boot: what the node's sysctl.d files and units set · kernel: the kernel's default, because
   * nothing better is known.
   */
  source: "backup" | "other" | "current" | "boot" | "kernel";
  /** Why the backup that was there could not be used. */
  unusable?: string;
}

/**
 * Find what each setting had before any core dump handler of this kind came. The first saved value wins. The current
 * value counts only while the kernel's line is somebody else's: with a line of ours, the numbers may be ours as well.
 */
export function findOwnValues(node: Node, current: KernelValues): Record<KernelValueName, OwnValue> {
  const ours = isHandlerPattern(current.core_pattern);
  const find = (name: KernelValueName): OwnValue => {
    const backup = readBackup(node, name);
    if (backup.state === "valid") return { value: backup.value, source: "backup" };
    const evidence = backup.state === "unusable" ? { unusable: backup.reason } : {};
    if (!ours) return { value: current[name], source: "current", ...evidence };
    const other = readBackup({ ...node, hostDir: directoryOf(current.core_pattern) }, name);
    if (other.state === "valid") return { value: other.value, source: "other", ...evidence };
    const boot = findBootValue(node.roots, name);
    if (boot !== undefined) return { value: boot.value, source: "boot", ...evidence };
    return { value: KERNEL_DEFAULTS[name], source: "kernel", ...evidence };
  };
  return Object.fromEntries(KERNEL_VALUES.map((name) => [name, find(name)])) as Record<KernelValueName, OwnValue>;
}

function directoryOf(pattern: string): string {
  const parsed = parseCorePattern(pattern);
  return parsed.kind === "pipe" ? dirname(parsed.executable.replaceAll("%%", "%")) : "/";
}
