import { availableParallelism } from "node:os";

/**
 * Threads beyond one for each CPU. As many calls of the file system may hang at once (a step's deadline passes, its
 * thread stays) before the core itself would have none left to be read, compressed and written by.
 */
const SPARE_THREADS = 6;

interface SetEnvironment {
  symbols: { setenv(name: Buffer, value: Buffer, overwrite: number): number };
}

/**
 * Give the runtime's thread pool more threads than CPUs. Bun takes their number from the environment when the pool is
 * first used; the kernel gives none, and `process.env` does not reach it. A quarter of a millisecond.
 * @see setenv(3)
 */
export async function widenThreadPool(): Promise<void> {
  if (!("Bun" in globalThis)) return;
  try {
    const { dlopen } = (await import("bun:ffi" as string)) as { dlopen(name: string, types: object): SetEnvironment };
    const { symbols } = dlopen("libc.so.6", { setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" } });
    const count = availableParallelism() + SPARE_THREADS;
    symbols.setenv(Buffer.from("UV_THREADPOOL_SIZE\0"), Buffer.from(`${count}\0`), 1);
  } catch {
    // Without it a hanging file system may hold the core up to TIMEOUT.
  }
}
