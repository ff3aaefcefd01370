import { join, normalize } from "node:path";

/** Say where the kernel's file systems and the node's root are mounted: `/` on a host, `/host` in a container. */
export interface Roots {
  /** The node's root directory. */
  readonly host: string;
  /** The node's /proc. */
  readonly proc: string;
  /** The node's /sys. */
  readonly sys: string;
}

/** Make the roots from the two flags `--host-root` and `--proc-root`. */
export function makeRoots(options: { hostRoot?: string; procRoot?: string; sysRoot?: string } = {}): Roots {
  return { host: options.hostRoot ?? "/", proc: options.procRoot ?? "/proc", sys: options.sysRoot ?? "/sys" };
}

/** Translate an absolute path on the node into a path that this process can open. */
export function onHost(roots: Roots, hostPath: string): string {
  return join(roots.host, normalize(`/${hostPath}`));
}
