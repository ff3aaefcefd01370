import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** The attributes that systemd-coredump sets on a core. @see systemd, src/coredump/coredump-submit.c */
export const COREDUMP_ATTRIBUTES = [
  "pid",
  "uid",
  "gid",
  "signal",
  "timestamp",
  "rlimit",
  "hostname",
  "comm",
  "exe",
] as const;

/** Values of the `user.coredump.*` attributes, by the last part of the name. */
export type CoreAttributes = Partial<Record<(typeof COREDUMP_ATTRIBUTES)[number], string>>;

const VALUE_MAX_BYTES = 4096;

type GetAttribute = (fd: number, name: Buffer, value: Buffer, size: bigint) => bigint;

let getAttribute: Promise<GetAttribute | undefined> | undefined;

/**
 * Read a core's attributes; none where the file system or this Node cannot. Node has no call for them, so the C
 * library's is called; the file's name and the core's own notes say most of the same.
 */
export async function readCoreAttributes(path: string): Promise<CoreAttributes> {
  getAttribute ??= loadGetAttribute();
  const get = await getAttribute;
  if (get === undefined) return {};
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const attributes: CoreAttributes = {};
    const value = Buffer.alloc(VALUE_MAX_BYTES);
    for (const name of COREDUMP_ATTRIBUTES) {
      const bytes = Number(get(file.fd, Buffer.from(`user.coredump.${name}\0`), value, BigInt(value.length)));
      if (bytes > 0) attributes[name] = value.toString("utf8", 0, bytes).replace(/\0+$/, "");
    }
    return attributes;
  } finally {
    await file.close();
  }
}

async function loadGetAttribute(): Promise<GetAttribute | undefined> {
  // The module is experimental and says so on stderr, where our own lines are JSON.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    const { dlopen } = await import("node:ffi");
    const { functions } = dlopen("libc.so.6", {
      fgetxattr: { arguments: ["int32", "buffer", "buffer", "uint64"], return: "int64" },
    });
    return (fd, name, value, size) => functions.fgetxattr(fd, name, value, size);
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}
