import { toRfc3339 } from "@cdh/core/clock";
import type { Manifest } from "@cdh/core/bundle/manifest";

/** What a core's file name tells, as far as it follows a known pattern. */
export interface CoreFileName {
  comm?: string;
  uid?: number;
  bootId?: string;
  pid?: number;
  /** RFC 3339. */
  crashedAt?: string;
}

/**
 * Read the name of a core's file. systemd-coredump writes `core.COMM.UID.BOOTID.PID.MICROSECONDS[.zst]`; the kernel by
 * itself `core` or `core.PID`.
 */
export function parseCoreFileName(name: string): CoreFileName {
  const bare = name.replace(/\.(zst|lz4|xz|gz)$/, "");
  const systemd = /^core\.(.+)\.(\d+)\.([0-9a-f]{32})\.(\d+)\.(\d{13,17})$/.exec(bare);
  if (systemd !== null) {
    const [, comm = "", uid, bootId = "", pid, microseconds] = systemd;
    const time = Number(microseconds) / 1000;
    return {
      // systemd writes what may not stand in its names as \xNN.
      comm: comm.replaceAll(/\\x([0-9a-f]{2})/g, (_match, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      ),
      uid: Number(uid),
      bootId,
      pid: Number(pid),
      crashedAt: toRfc3339(time > 1e14 ? time / 1000 : time),
    };
  }
  const kernel = /^core\.(\d+)$/.exec(bare);
  return kernel === null ? {} : { pid: Number(kernel[1]) };
}

/** Tell whether a file in a directory is worth looking at as a core: systemd's names, the kernel's, `*.core`. */
export function looksLikeCore(name: string): boolean {
  return /^core(\..+)?$/.test(name) || /\.core(\.(zst|gz|lz4|xz))?$/.test(name);
}

/** Make the manifest of a core that is a file by itself, from its name; the core's own facts are added later. */
export function manifestOfFile(
  name: string,
  facts: { sizeBytes: number; storedBytes: number; isCompressed: boolean },
  modifiedAt?: number,
): Manifest {
  const told = parseCoreFileName(name);
  const crashedAt = told.crashedAt ?? (modifiedAt === undefined ? "" : toRfc3339(modifiedAt));
  return {
    schemaVersion: 1,
    crashId: "",
    bundle: name,
    crashedAt,
    composer: { version: "" },
    node: told.bootId === undefined ? {} : { bootId: told.bootId },
    process: {
      ...(told.pid === undefined ? {} : { pid: told.pid }),
      ...(told.uid === undefined ? {} : { uid: told.uid }),
      ...(told.comm === undefined ? {} : { comm: told.comm }),
    },
    signal: { number: 0, name: "" },
    core: {
      entry: name,
      compression: facts.isCompressed ? "zstd" : "none",
      sizeBytes: facts.sizeBytes,
      storedBytes: facts.storedBytes,
      complete: false,
    },
    problems: [],
  };
}
