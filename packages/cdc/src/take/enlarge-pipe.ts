import { makeRoots } from "@cdh/core/roots";
import type { Work } from "../request.ts";
import { LARGE_PIPE_BYTES, mayEnlargePipe } from "./pipe-size.ts";

/**
 * Let the kernel's pipe hold more, where the container has the memory for it. The kernel's own files answer at once; a file
 * system that stands for them may not, and is not asked.
 */
export function enlargePipe({ roots, crash, native }: Pick<Work, "roots" | "crash" | "native">): void {
  const { proc, sys } = makeRoots();
  if (roots.proc !== proc || roots.sys !== sys) return;
  if (mayEnlargePipe(roots, crash.pid)) native.setPipeSize(0, LARGE_PIPE_BYTES);
}
