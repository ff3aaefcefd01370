import { readFileSync, writeFileSync } from "node:fs";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { kernelValueFile, SYSCTL_NAMES, type KernelValueName, type KernelValues } from "@cdh/core/kernel/values";
import type { Roots } from "@cdh/core/roots";

export { KERNEL_VALUES, SYSCTL_NAMES, type KernelValueName, type KernelValues } from "@cdh/core/kernel/values";

/** What a kernel starts with when nobody has set anything. @see https://docs.kernel.org/admin-guide/sysctl/kernel.html */
export const KERNEL_DEFAULTS: Readonly<KernelValues> = {
  core_pattern: "core",
  core_pipe_limit: "0",
  suid_dumpable: "0",
};

/** Path of a setting below this process's view of the node's /proc. */
export function kernelValuePath(roots: Roots, name: KernelValueName): string {
  return kernelValueFile(roots.proc, name);
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
