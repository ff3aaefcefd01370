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
}

/** The kernel answers at once; a PROC_ROOT that hangs must not keep the bundle from its name. */
const WAIT_MS = 1_000;

/** Learn about the node from the kernel. Never rejects. */
export async function nodeFacts(roots: Roots, nodeName: string | undefined): Promise<NodeFacts> {
  const bootId = await readBounded(join(roots.proc, "sys/kernel/random/boot_id"), 64, AbortSignal.timeout(WAIT_MS))
    .then(({ bytes }) => bytes.toString())
    .catch(() => undefined);
  return {
    nodeName: nodeName ?? hostname(),
    architecture: arch(),
    kernelRelease: release(),
    ...(bootId === undefined ? {} : { bootId: bootId.trim() }),
  };
}
