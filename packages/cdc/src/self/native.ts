/**
 * The system calls that Node's modules lack, through Bun's foreign function interface. Outside Bun (unit tests)
 * and wherever libc can't be opened there are none.
 * @see fcntl(2) F_SETPIPE_SZ, flock(2), mkfifo(3), dup2(2), poll(2), usleep(3), alarm(2),
 * ioctl(2), open_by_handle_at(2), prctl(2), setrlimit(2)
 */
export interface Native {
  /** False of what stands for them where there are none. */
  readonly isThere: boolean;
  /** Enlarge the pipe behind a descriptor; returns its size in bytes, or undefined when it is no pipe. */
  setPipeSize(fd: number, bytes: number): number | undefined;
  /** Take an exclusive flock without waiting; false when somebody else holds one. */
  tryLock(fd: number): boolean;
  /** Give a lock back that {@link tryLock} took. */
  unlock(fd: number): void;
  /** Make a fifo for its owner alone. @returns false when that failed, also because something is there */
  makeFifo(path: string): boolean;
  /** Tell whether a read would answer at once: with bytes, or with the end. False also when that can't be known. */
  isReadable(fd: number): boolean;
  /** Tell whether the other end of a pipe was closed; undefined when that can't be known. */
  isHungUp(fd: number): boolean | undefined;
  /**
   * Find the pages between two addresses that are in memory or swapped out and not the page of zeros, with PAGEMAP_SCAN (Linux 6.7).
   * @param fd of /proc/<pid>/pagemap; @param regions three words for each stretch: start, end, something else
   * @returns how many stretches, and up to where was looked; undefined where the kernel has no such call
   */
  readonly scanPages?: (
    fd: number,
    start: number,
    end: number,
    regions: BigUint64Array,
  ) => { count: number; walkEnd: number } | undefined;
  /** Stop this thread for so long, and with it the event loop. */
  nap(microseconds: number): void;
  /** Ask a descriptor's driver with a structure that it fills in. @returns false when it can't answer */
  ioctl(fd: number, request: number, structure: Buffer): boolean;
  /**
   * Open what a file handle means on the file system of `mount`, use its descriptor, and close it. Undefined when it
   * can't be opened.
   */
  withHandle<T>(mount: number, handle: Buffer, use: (fd: number) => Promise<T>): Promise<T | undefined>;
  /** Read entries of an open directory as the kernel lays them out. @returns bytes; 0 at the end, below on failure. @see getdents64(2) */
  readNames(fd: number, buffer: Buffer): number;
  /** Have the kernel end this process after so many seconds; 0 calls that off. */
  alarm(seconds: number): void;
  /** Have the kernel kill this process when the one that started it ends. @see PR_SET_PDEATHSIG(2const) */
  dieWithParent(): void;
  /** Have the kernel kill this process after so many seconds of a processor. @see setrlimit(2) RLIMIT_CPU */
  limitProcessor(seconds: number): void;
  /** Give memory back that nobody refers to: the runtime itself does so only when it likes. Takes milliseconds. */
  collectGarbage(): void;
  /** XXH64 with the seed 0, which zstd's checksums are made of; absent where there is none. */
  readonly checksum?: (bytes: Uint8Array) => bigint;
  /** Let `fd` mean what `source` means, closing what it was, in one step. */
  replace(fd: number, source: number): void;
}
