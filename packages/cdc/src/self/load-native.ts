import { FILE_MODE } from "@cdh/core/spool/layout";
import type { Native } from "./native.ts";
import { NO_NATIVE } from "./no-native.ts";

const F_SETPIPE_SZ = 1031;
const LOCK_EX_NB = 2 | 4;
const LOCK_UN = 8;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const POLLIN = 0x0001;
const POLLHUP = 0x0010;
/** @see struct pm_scan_arg and struct page_region, linux/fs.h */
const PAGEMAP_SCAN = 0xc060_6610;
const SCAN_WORDS = 12;
const REGION_WORDS = 3;
const PAGE_IS_PRESENT = 1n << 3n;
const PAGE_IS_SWAPPED = 1n << 4n;
const PAGE_IS_PFNZERO = 1n << 5n;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const RLIMIT_CPU = 0;

/** The library names under which libc is found: glibc's, then musl's. */
const LIBC_NAMES = ["libc.so.6", "libc.so"];

interface Libc {
  fcntl(fd: number, command: number, argument: number): number;
  flock(fd: number, operation: number): number;
  dup2(from: number, to: number): number;
  mkfifo(path: Buffer, mode: number): number;
  poll(fds: Buffer, count: number, timeoutMs: number): number;
  usleep(microseconds: number): number;
  alarm(seconds: number): number;
  ioctl(fd: number, request: number, argument: Buffer): number;
  open_by_handle_at(mount: number, handle: Buffer, flags: number): number;
  close(fd: number): number;
  getdents64(fd: number, buffer: Buffer, bytes: number): number;
  prctl(option: number, argument: number): number;
  setrlimit(resource: number, limits: Buffer): number;
}

interface BunRuntime {
  gc(sync: boolean): void;
  hash: { xxHash64(bytes: Uint8Array): bigint };
}

interface BunFfi {
  ptr(buffer: ArrayBufferView): number;
  dlopen(name: string, symbols: object): { symbols: Libc };
}

/** Load the system calls, or {@link NO_NATIVE} where there are none. Never rejects. */
export async function loadNative(): Promise<Native> {
  if (!("Bun" in globalThis)) return NO_NATIVE;
  const ffi = (await import("bun:ffi" as string).catch(() => undefined)) as BunFfi | undefined;
  if (ffi === undefined) return NO_NATIVE;
  const bun = (globalThis as unknown as { Bun: BunRuntime }).Bun;
  for (const name of LIBC_NAMES) {
    try {
      const { symbols } = ffi.dlopen(name, {
        fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
        flock: { args: ["i32", "i32"], returns: "i32" },
        dup2: { args: ["i32", "i32"], returns: "i32" },
        mkfifo: { args: ["ptr", "u32"], returns: "i32" },
        poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
        usleep: { args: ["u32"], returns: "i32" },
        alarm: { args: ["u32"], returns: "u32" },
        ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
        open_by_handle_at: { args: ["i32", "ptr", "i32"], returns: "i32" },
        close: { args: ["i32"], returns: "i32" },
        prctl: { args: ["i32", "u64"], returns: "i32" },
        setrlimit: { args: ["i32", "ptr"], returns: "i32" },
        getdents64: { args: ["i32", "ptr", "u64"], returns: "i64_fast" },
      });
      // struct pollfd: the descriptor, what is asked for, what is answered.
      const pollfd = Buffer.alloc(8);
      return {
        isThere: true,
        isReadable: (fd) => {
          pollfd.writeInt32LE(fd, 0);
          pollfd.writeInt32LE(POLLIN, 4);
          return symbols.poll(pollfd, 1, 0) === 1 && (pollfd.readInt16LE(6) & (POLLIN | POLLHUP)) !== 0;
        },
        isHungUp: (fd) => {
          pollfd.writeInt32LE(fd, 0);
          pollfd.writeInt32LE(0, 4);
          const count = symbols.poll(pollfd, 1, 0);
          return count < 0 ? undefined : count === 1 && (pollfd.readInt16LE(6) & POLLHUP) !== 0;
        },
        scanPages: (fd, start, end, regions) => {
          const populated = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
          const capacity = BigInt(Math.floor(regions.length / REGION_WORDS));
          const scan = new BigUint64Array([
            BigInt(SCAN_WORDS * 8),
            0n,
            BigInt(start),
            BigInt(end),
            0n,
            BigInt(ffi.ptr(regions)),
            capacity,
            0n,
            PAGE_IS_PFNZERO,
            PAGE_IS_PFNZERO,
            populated,
            populated,
          ]);
          const count = symbols.ioctl(fd, PAGEMAP_SCAN, Buffer.from(scan.buffer));
          return count < 0 ? undefined : { count, walkEnd: Number(scan[4]) };
        },
        ioctl: (fd, request, structure) => symbols.ioctl(fd, request, structure) === 0,
        withHandle: async (mount, handle, use) => {
          const fd = symbols.open_by_handle_at(mount, handle, O_PATH | O_CLOEXEC);
          if (fd < 0) return undefined;
          try {
            return await use(fd);
          } finally {
            symbols.close(fd);
          }
        },
        readNames: (fd, buffer) => Number(symbols.getdents64(fd, buffer, buffer.length)),
        alarm: (seconds) => void symbols.alarm(seconds),
        dieWithParent: () => void symbols.prctl(PR_SET_PDEATHSIG, SIGKILL),
        limitProcessor: (seconds) => {
          // struct rlimit: the limit, and how far it may be raised. Both alike: no handler puts off the end.
          const limits = Buffer.alloc(16);
          limits.writeBigUInt64LE(BigInt(seconds), 0);
          limits.writeBigUInt64LE(BigInt(seconds), 8);
          symbols.setrlimit(RLIMIT_CPU, limits);
        },
        nap: (microseconds) => void symbols.usleep(microseconds),
        setPipeSize: (fd, bytes) => {
          const size = symbols.fcntl(fd, F_SETPIPE_SZ, bytes);
          return size > 0 ? size : undefined;
        },
        tryLock: (fd) => symbols.flock(fd, LOCK_EX_NB) === 0,
        unlock: (fd) => void symbols.flock(fd, LOCK_UN),
        makeFifo: (path) => symbols.mkfifo(Buffer.from(`${path}\0`), FILE_MODE) === 0,
        collectGarbage: () => bun.gc(true),
        checksum: (bytes) => bun.hash.xxHash64(bytes),
        replace: (fd, source) => void symbols.dup2(source, fd),
      };
    } catch {
      // The next name may exist.
    }
  }
  return NO_NATIVE;
}
