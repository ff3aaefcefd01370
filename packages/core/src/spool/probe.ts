import { join } from "node:path";
import { STATE_DIRECTORY } from "./layout.ts";

/**
 * Name of the small program in HOST_DIR that `cdh-sysctl` crashes to prove capture: 15 bytes, as much as the kernel keeps
 * of a process's name. Anybody may take such a name: it only says that a closer look is worth its price.
 */
export const PROBE_NAME = /^cdhprobe[0-9a-f]{7}$/;

/** Where the bundle of a probe goes: not among the bundles that are uploaded, and on the same file system as they are. */
export function probeDirectory(coreDir: string): string {
  return join(coreDir, STATE_DIRECTORY, "probe");
}
