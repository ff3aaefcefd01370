/** What the name of a core's file says. */
export interface CoreNameFacts {
  comm?: string;
  /** Of the crashed process's UTS namespace: a pod's name, mostly. */
  hostname?: string;
  uid?: number;
  /** With hyphens, as the kernel writes it. */
  bootId?: string;
  pid?: number;
  signal?: number;
  /** Epoch milliseconds. */
  crashedAt?: number;
}

/** What follows the name of a core that somebody compressed. */
const COMPRESSED = /\.(zst|lz4|xz|gz)$/;

/**
 * Read the name of a core's file: systemd-coredump's, the one that `cdh-sysctl` sets in file mode, and the patterns that
 * guides recommend. What does not fit is not guessed: the core's own notes know most of it.
 */
export function parseCoreName(fileName: string): CoreNameFacts {
  return parseSystemdCoreName(fileName) ?? parseFileModeName(fileName) ?? parsePlainCoreName(fileName);
}

/** Tell whether a file in a directory is worth looking at as a core. */
export function looksLikeCore(fileName: string): boolean {
  if (/^core(\..+)?$/s.test(fileName) || /\.core(\.(zst|gz|lz4|xz))?$/.test(fileName)) return true;
  return Object.keys(parseCoreName(fileName)).length > 0;
}

/**
 * Read the name that systemd-coredump gives: `core.COMM.UID.BOOTID.PID.MICROSECONDS`, the comm escaped, perhaps with a
 * suffix for its compression. @see systemd, src/coredump/coredump-submit.c (make_filename)
 */
export function parseSystemdCoreName(fileName: string): CoreNameFacts | undefined {
  const bare = fileName.replace(COMPRESSED, "");
  const match = /^core\.(.+)\.(\d{1,10})\.([0-9a-f]{32})\.(\d{1,10})\.(\d{13,17})$/s.exec(bare);
  if (match === null) return undefined;
  const [, comm = "", uid, bootId = "", pid, microseconds] = match;
  return {
    comm: unescape(comm),
    uid: Number(uid),
    bootId: bootId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    pid: Number(pid),
    crashedAt: Math.floor(Number(microseconds) / 1000),
  };
}

/** Read `core.%h.%e.%P.%s.%t.cdh`. A pod's host name has no dots; an executable's name may. */
function parseFileModeName(fileName: string): CoreNameFacts | undefined {
  const match = /^core\.([^.]+)\.(.+)\.(\d{1,10})\.(\d{1,2})\.(\d{9,11})\.cdh$/s.exec(fileName.replace(COMPRESSED, ""));
  if (match === null) return undefined;
  const [, hostname = "", comm = "", pid, signal, seconds] = match;
  return { comm, hostname, pid: Number(pid), signal: Number(signal), crashedAt: Number(seconds) * 1000 };
}

/** Read `core-%e-%t-%p-%s`, `core.%e.%p.%t`, `core.%p`. */
function parsePlainCoreName(fileName: string): CoreNameFacts {
  const bare = fileName.replace(COMPRESSED, "");
  const full = /^core[-.](.+)[-.](\d{9,11})[-.](\d{1,10})[-.](\d{1,2})$/s.exec(bare);
  if (full !== null) {
    const [, comm = "", seconds, pid, signal] = full;
    return { comm, crashedAt: Number(seconds) * 1000, pid: Number(pid), signal: Number(signal) };
  }
  const late = /^core[-.](.+)[-.](\d{1,8})[-.](\d{9,11})$/s.exec(bare);
  if (late !== null) return { comm: late[1] ?? "", pid: Number(late[2]), crashedAt: Number(late[3]) * 1000 };
  const short = /^core\.(\d{1,10})$/.exec(bare);
  return short === null ? {} : { pid: Number(short[1]) };
}

/** Undo systemd's `\xNN`, one for each byte of UTF-8. */
function unescape(text: string): string {
  return text.replaceAll(/(?:\\x[0-9a-f]{2})+/gi, (escaped) =>
    Buffer.from(escaped.replaceAll(/\\x/gi, ""), "hex").toString("utf8"),
  );
}
