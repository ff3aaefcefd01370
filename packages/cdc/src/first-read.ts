import { isCrash } from "./kernel/invocation.ts";
import { descriptorInput } from "./self/input.ts";
import { widenThreadPool } from "./self/thread-pool.ts";

/** As much as a pipe holds before it is enlarged. */
const FIRST_READ_BYTES = 64 * 1024;

// Before the pool's first use, and it waits for nothing.
await widenThreadPool();

/**
 * Start to read the core before anything else is loaded, parsed or opened. A separate module, because modules are
 * evaluated in the order of their imports.
 */
export const firstRead: Promise<Buffer> = isCrash ? readOnce() : Promise.resolve(Buffer.alloc(0));

async function readOnce(): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(FIRST_READ_BYTES);
  // Whoever reads on meets the same error again and handles it.
  const count = await descriptorInput(0)
    .read(buffer, 0, buffer.length)
    .catch(() => 0);
  return buffer.subarray(0, count);
}
