import { closeSync, openSync, read, readSync } from "node:fs";
import type { Native } from "./native.ts";
import { NO_NATIVE } from "./no-native.ts";

/** Where a core comes from: the kernel's pipe, or a saved file. */
export interface CoreInput {
  /** Read up to `length` bytes into the buffer; 0 is the end. */
  read(buffer: Buffer, offset: number, length: number): Promise<number>;
  /**
   * Read what is there already, without a turn of the event loop; undefined when nothing is, or when that can't be known.
   * May keep the thread for a few milliseconds where it may nap; after undefined, {@link read} has to come first.
   */
  readNow?(buffer: Buffer, offset: number, length: number, mayNap: boolean): number | undefined;
  /** Count the whole frames of zeros that come next: they need not be read. */
  zeroFrames?(): number;
  /** Pass over so many of them. */
  skipZeroFrames?(count: number): void;
  /**
   * Let go of the source. On the kernel's pipe this releases the crashed process: the kernel waits for the last reader
   * to close, so /proc/<pid> is gone soon after. Can be called again.
   */
  close(): Promise<void>;
}

/** So long the kernel writes on before we look again: a read for every page would cost both sides more. */
const NAP_MICROSECONDS = 100;

/** After so many naps the event loop gets its turn, and a thread waits for the next bytes. */
const NAPS = 16;

/**
 * Read from a descriptor on the thread pool, so that neither a stalled kernel nor a stalled disk stops the composer's
 * own timers.
 */
export function descriptorInput(fd: number, native: Native = NO_NATIVE): CoreInput {
  let isOpen = true;
  let naps = 0;
  return {
    ...(!native.isThere
      ? {}
      : {
          readNow: (buffer, offset, length, mayNap) => {
            while (!native.isReadable(fd)) {
              naps += 1;
              if (naps > NAPS || !mayNap) {
                naps = 0;
                return undefined;
              }
              native.nap(NAP_MICROSECONDS);
            }
            return readSync(fd, buffer, offset, length, null);
          },
        }),
    read: (buffer, offset, length) =>
      new Promise((resolve, reject) => {
        const attempt = (): void =>
          read(fd, buffer, offset, length, null, (error, count) => {
            if (error === null) resolve(count);
            else if (error.code === "EINTR") attempt();
            else if (error.code === "EAGAIN") setTimeout(attempt, 1);
            else reject(error);
          });
        attempt();
      }),
    close: async () => {
      if (isOpen) closeInput(fd, native);
      isOpen = false;
    },
  };
}

/** Put bytes that were read early in front of the rest. */
export function withFirstRead(input: CoreInput, first: Promise<Buffer>): CoreInput {
  let rest: Buffer | undefined;
  let taken = false;
  const { readNow } = input;
  return {
    close: () => input.close(),
    ...(readNow === undefined
      ? {}
      : { readNow: (buffer, offset, length, mayNap) => (taken ? readNow(buffer, offset, length, mayNap) : undefined) }),
    read: async (buffer, offset, length) => {
      if (!taken) {
        rest ??= await first;
        if (rest.length === 0) {
          taken = true;
          return 0;
        }
        const count = rest.copy(buffer, offset, 0, length);
        rest = rest.subarray(count);
        taken = rest.length === 0;
        return count;
      }
      return input.read(buffer, offset, length);
    },
  };
}

/** Open something that nobody reads. A root without /dev must not cost the core: its directory does as well. */
function openNothing(): number {
  try {
    return openSync("/dev/null", "r");
  } catch {
    return openSync("/", "r");
  }
}

/**
 * Close a descriptor but keep its number taken: a file that was opened later and got number 0 is one that Bun refuses
 * to work with.
 */
function closeInput(fd: number, native: Native): void {
  const nothing = openNothing();
  native.replace(fd, nothing);
  closeSync(nothing);
}
