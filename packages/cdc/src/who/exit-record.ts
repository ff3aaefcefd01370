import { open, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Roots } from "@cdh/core/roots";
import type { Native } from "../self/native.ts";

/** PIDFD_GET_INFO with the first published size of `struct pidfd_info`. @see linux/pidfd.h, since Linux 6.13 */
const PIDFD_GET_INFO = 0xc040ff0b;
const PIDFD_INFO_BYTES = 64;
const PIDFD_INFO_CGROUPID = 1n << 2n;
const PIDFD_INFO_EXIT = 1n << 3n;

/** `FILEID_KERNFS`: a handle that is a cgroup's id. @see linux/exportfs.h */
const FILEID_KERNFS = 0xfe;

/** Where a cgroup2 file system may be mounted, below /sys: alone, or beside version 1. */
const MOUNTS = ["fs/cgroup", "fs/cgroup/unified"];

/**
 * Find the cgroup of a process that has ended, by the pidfd that the kernel gave. The kernel does not wait for us where
 * it breaks a dump off: a program with an io_uring, or one that is killed, may be gone before we look. The pidfd still
 * means it, whoever has its pid by now, and keeps a record of its end (since Linux 6.15).
 * @returns the text of its cgroup file as far as it can be known; undefined when it lives, or can't be known
 */
export async function cgroupAfterExit(
  roots: Roots,
  pidfd: number | undefined,
  native: Native,
): Promise<string | undefined> {
  // A pidfd is readable once its process has ended.
  if (pidfd === undefined || !native.isReadable(pidfd)) return undefined;
  const info = Buffer.alloc(PIDFD_INFO_BYTES);
  info.writeBigUInt64LE(PIDFD_INFO_CGROUPID | PIDFD_INFO_EXIT, 0);
  if (!native.ioctl(pidfd, PIDFD_GET_INFO, info)) return undefined;
  if ((info.readBigUInt64LE(0) & PIDFD_INFO_CGROUPID) === 0n) return undefined;
  const path = await pathOfCgroup(roots, info.readBigUInt64LE(8), native);
  return path === undefined ? undefined : `0::${path}\n`;
}

async function pathOfCgroup(roots: Roots, id: bigint, native: Native): Promise<string | undefined> {
  const handle = Buffer.alloc(16);
  handle.writeUInt32LE(8, 0);
  handle.writeInt32LE(FILEID_KERNFS, 4);
  handle.writeBigUInt64LE(id, 8);
  for (const name of MOUNTS) {
    const mount = join(roots.sys, name);
    const root = await open(mount, "r").catch(() => undefined);
    if (root === undefined) continue;
    try {
      const path = await native.withHandle(root.fd, handle, (fd) => readlink(`/proc/self/fd/${fd}`));
      // The container's cgroup goes soon after its last process; then only its id is left, which names nobody.
      if (path?.startsWith(`${mount}/`) === true) return path.slice(mount.length);
    } finally {
      await root.close();
    }
  }
  return undefined;
}
