import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Roots } from "@cdh/core/roots";

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

/** What a kernel starts with when nobody has set anything. @see https://docs.kernel.org/admin-guide/sysctl/kernel.html */
export const KERNEL_DEFAULTS: Readonly<KernelValues> = {
  core_pattern: "core",
  core_pipe_limit: "0",
  suid_dumpable: "0",
};

/** Path of a setting below this process's view of the node's /proc. */
export function kernelValuePath(roots: Roots, name: KernelValueName): string {
  return join(roots.proc, "sys", ...SYSCTL_NAMES[name].split("."));
}

/** Read a setting, without its newline. @throws {CdhError} CDH_ENVIRONMENT when it cannot be read */
export function readKernelValue(roots: Roots, name: KernelValueName): string {
  const path = kernelValuePath(roots, name);
  try {
    return readFileSync(path, "utf8").replace(/\n$/, "");
  } catch (error) {
    throw new CdhError("CDH_ENVIRONMENT", `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Read all three. @throws {CdhError} CDH_ENVIRONMENT */
export function readKernelValues(roots: Roots): KernelValues {
  return {
    core_pattern: readKernelValue(roots, "core_pattern"),
    core_pipe_limit: readKernelValue(roots, "core_pipe_limit"),
    suid_dumpable: readKernelValue(roots, "suid_dumpable"),
  };
}

/**
 * Set a value and read it back: kernels cut a long pattern, and some accept one that they will not use.
 * @throws {CdhError} CDH_PROC_READ_ONLY when it cannot be written
 * @throws {CdhError} CDH_NOT_APPLIED when the kernel holds something else afterwards
 */
export function writeKernelValue(roots: Roots, name: KernelValueName, value: string): void {
  const path = kernelValuePath(roots, name);
  try {
    // With its newline, because a write of no bytes at all would change nothing.
    writeFileSync(path, `${value}\n`);
  } catch (error) {
    throw new CdhError("CDH_PROC_READ_ONLY", `cannot set ${SYSCTL_NAMES[name]}: ${reasonOf(error)}`, {
      hint: "a container needs to be privileged, or /proc/sys mounted writable",
      cause: error,
    });
  }
  const actual = readKernelValue(roots, name);
  if (actual !== value) {
    throw new CdhError(
      "CDH_NOT_APPLIED",
      `cannot set ${SYSCTL_NAMES[name]} to ${value}: the kernel holds ${JSON.stringify(actual)} afterwards`,
      {
        hint: "something else on this node sets the value: cdh-sysctl status shows who",
        details: { name, wanted: value, actual },
      },
    );
  }
}
