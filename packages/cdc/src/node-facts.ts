import { readFile } from "node:fs/promises";
import { arch, hostname, release } from "node:os";
import { join } from "node:path";
import type { Roots } from "@cdh/core/roots";

/** What a manifest says of the node. */
export interface NodeFacts {
  nodeName: string;
  architecture: string;
  kernelRelease: string;
  bootId?: string;
}

/** Learn about the node from the kernel. */
export async function nodeFacts(roots: Roots, nodeName: string | undefined): Promise<NodeFacts> {
  const bootId = await readFile(join(roots.proc, "sys/kernel/random/boot_id"), "utf8").catch(() => undefined);
  return {
    nodeName: nodeName ?? hostname(),
    architecture: arch(),
    kernelRelease: release(),
    ...(bootId === undefined ? {} : { bootId: bootId.trim() }),
  };
}
