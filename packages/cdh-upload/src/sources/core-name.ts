/** What the name of a core file says. */
export interface CoreNameFacts {
  comm?: string;
  /** Of the crashed process's UTS namespace: a pod's name, mostly. */
  hostname?: string;
  uid?: number;
  bootId?: string;
  pid?: number;
  signal?: number;
  /** Epoch milliseconds. */
  crashedAt?: number;
}

/**
 * Read the name that systemd-coredump gives: `core.COMM.UID.BOOTID.PID.MICROSECONDS`, the comm escaped, perhaps with a
 * suffix for its compression. @see systemd, src/coredump/coredump-submit.c (make_filename)
 */
export function parseSystemdCoreName(fileName: string): CoreNameFacts | undefined {
  const match = /^core\.(.+)\.(\d{1,10})\.([0-9a-f]{32})\.(\d{1,10})\.(\d{10,20})(\.(zst|lz4|xz|gz))?$/s.exec(fileName);
  if (match === null) return undefined;
  const [, comm = "", uid, bootId = "", pid, microseconds] = match;
  const hyphened = bootId.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return {
    comm: unescape(comm),
    uid: Number(uid),
    bootId: hyphened,
    pid: Number(pid),
    crashedAt: Math.floor(Number(microseconds) / 1000),
  };
}

/**
 * Read what a plain core's name says, in the patterns that guides recommend: `core-%e-%t-%p-%s`, `core.%e.%p.%t`,
 * `core.%p`; and the one that `cdh-sysctl` sets in file mode, `core.%h.%e.%P.%s.%t.cdh`. What does not fit is not guessed:
 * the core's own notes know most of it.
 */
export function parsePlainCoreName(fileName: string): CoreNameFacts {
  // A pod's host name has no dots; an executable's name may.
  const own = /^core\.([^.]+)\.(.+)\.(\d{1,10})\.(\d{1,2})\.(\d{9,11})\.cdh$/s.exec(fileName);
  if (own !== null) {
    const [, hostname = "", comm = "", pid, signal, seconds] = own;
    return { comm, hostname, pid: Number(pid), signal: Number(signal), crashedAt: Number(seconds) * 1000 };
  }
  const bare = fileName.replace(/\.(gz|zst|lz4|xz)$/, "");
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

/** Undo systemd's `\xNN`. */
function unescape(text: string): string {
  return Buffer.from(
    text.replaceAll(/\\x([0-9a-f]{2})/gi, (_match, digits: string) =>
      String.fromCodePoint(Number.parseInt(digits, 16)),
    ),
    "latin1",
  ).toString("utf8");
}
