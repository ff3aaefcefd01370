import { arch, hostname, release } from "node:os";
import { join } from "node:path";
import { readBounded } from "@cdh/core/container/bounded-file";
import type { Roots } from "@cdh/core/roots";

/** What a manifest says of the node. */
export interface NodeFacts {
  nodeName: string;
  architecture: string;
  kernelRelease: string;
  bootId?: string;
  cpuModel?: string;
  microcode?: string;
}

/** What the kernel says of the first processor is shorter. */
const CPUINFO_BYTES = 4096;
const FIELD_MAX = 120;
/** The kernel answers at once; a PROC_ROOT that hangs must not keep the bundle from its name. */
const WAIT_MS = 1_000;

/** Learn about the node from the kernel. Never rejects. */
export async function nodeFacts(roots: Roots, nodeName: string | undefined): Promise<NodeFacts> {
  const bootId = await readBounded(join(roots.proc, "sys/kernel/random/boot_id"), 64, AbortSignal.timeout(WAIT_MS))
    .then(({ bytes }) => bytes.toString())
    .catch(() => undefined);
  const processor = await readBounded(join(roots.proc, "cpuinfo"), CPUINFO_BYTES, AbortSignal.timeout(WAIT_MS))
    .then(({ bytes }) => bytes.toString())
    .catch(() => "");
  const cpuModel = fieldOf(processor, "model name");
  const microcode = fieldOf(processor, "microcode");
  return {
    nodeName: nodeName ?? hostname(),
    architecture: arch(),
    kernelRelease: release(),
    ...(bootId === undefined ? {} : { bootId: bootId.trim() }),
    ...(cpuModel === undefined ? {} : { cpuModel }),
    ...(microcode === undefined ? {} : { microcode }),
  };
}

/** Take a field of the first processor. @see proc_cpuinfo(5) */
function fieldOf(processor: string, name: string): string | undefined {
  const value = new RegExp(`(?<![^\\n])${name}\\s*:([^\\n]*)`).exec(processor)?.[1]?.trim();
  return value === undefined || value === "" ? undefined : value.slice(0, FIELD_MAX);
}
