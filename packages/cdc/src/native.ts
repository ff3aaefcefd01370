import { FILE_MODE } from "@cdh/core/spool/layout";

/**
 * The system calls that Node's modules lack, through Bun's foreign function interface. Outside Bun (unit tests)
 * and wherever libc can't be opened there are none, and the composer works without: a small pipe, and no waiting line.
 * @see fcntl(2) F_SETPIPE_SZ, flock(2), mkfifo(3), dup2(2), poll(2), usleep(3)
 */
export interface Native {
  /** Enlarge the pipe behind a descriptor; returns its size in bytes, or undefined when it is no pipe. */
  setPipeSize(fd: number, bytes: number): number | undefined;
  /** Take an exclusive flock without waiting; false when somebody else holds one. */
  tryLock(fd: number): boolean;
  /** Make a fifo for its owner alone. @returns false when that failed, also because something is there */
  makeFifo(path: string): boolean;
  /** Tell whether a read would answer at once: with bytes, or with the end. False also when that can't be known. */
  isReadable(fd: number): boolean;
  /** Stop this thread for so long, and with it the event loop. */
  nap(microseconds: number): void;
  /** Let `fd` mean what `source` means, closing what it was, in one step. */
  replace(fd: number, source: number): void;
}

const F_SETPIPE_SZ = 1031;
const LOCK_EX_NB = 2 | 4;
const POLLIN = 0x0001;
const POLLHUP = 0x0010;

/** The library names under which libc is found: glibc's, then musl's. */
const LIBC_NAMES = ["libc.so.6", "libc.so"];

interface Libc {
  fcntl(fd: number, command: number, argument: number): number;
  flock(fd: number, operation: number): number;
  dup2(from: number, to: number): number;
  mkfifo(path: Buffer, mode: number): number;
  poll(fds: Buffer, count: number, timeoutMs: number): number;
  usleep(microseconds: number): number;
}

interface BunFfi {
  dlopen(name: string, symbols: object): { symbols: Libc };
}

/** Load the system calls, or undefined where there are none. */
export async function loadNative(): Promise<Native | undefined> {
  if (!("Bun" in globalThis)) return undefined;
  const { dlopen } = (await import("bun:ffi" as string)) as BunFfi;
  for (const name of LIBC_NAMES) {
    try {
      const { symbols } = dlopen(name, {
        fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
        flock: { args: ["i32", "i32"], returns: "i32" },
        dup2: { args: ["i32", "i32"], returns: "i32" },
        mkfifo: { args: ["ptr", "u32"], returns: "i32" },
        poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
        usleep: { args: ["u32"], returns: "i32" },
      });
      // struct pollfd: the descriptor, what is asked for, what is answered.
      const pollfd = Buffer.alloc(8);
      return {
        isReadable: (fd) => {
          pollfd.writeInt32LE(fd, 0);
          pollfd.writeInt32LE(POLLIN, 4);
          return symbols.poll(pollfd, 1, 0) === 1 && (pollfd.readInt16LE(6) & (POLLIN | POLLHUP)) !== 0;
        },
        nap: (microseconds) => void symbols.usleep(microseconds),
        setPipeSize: (fd, bytes) => {
          const size = symbols.fcntl(fd, F_SETPIPE_SZ, bytes);
          return size > 0 ? size : undefined;
        },
        tryLock: (fd) => symbols.flock(fd, LOCK_EX_NB) === 0,
        makeFifo: (path) => symbols.mkfifo(Buffer.from(`${path}\0`), FILE_MODE) === 0,
        replace: (fd, source) => void symbols.dup2(source, fd),
      };
    } catch {
      // The next name may exist.
    }
  }
  return undefined;
}
