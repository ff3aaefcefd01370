/** Paths that are remembered, so that each is told once; more are counted only. */
const PATHS_MAX = 1000;

/** How Node and Bun begin to say it. @see DEP0137 in Node's list of deprecations */
const MESSAGE_START = "A FileHandle object was closed during garbage collection";

/**
 * Tell whether an uncaught error says only that a file was collected before it was closed; the file is closed by then.
 * @returns the file's path, `unknown` where the error names none; undefined for every other error
 */
export function forgottenFileOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_INVALID_STATE") return undefined;
  if (!error.message.startsWith(MESSAGE_START)) return undefined;
  return /File descriptor: \d+ \(([\s\S]+)\)\.?$/.exec(error.message)?.[1] ?? "unknown";
}

/**
 * Keep a process alive whose program forgot to close a file. Node and Bun throw an uncaught error for it, long after the
 * work that it belonged to; a program that runs for months, or holds a core, must not end for that. Each path is told once.
 */
export class ForgottenFiles {
  readonly #paths = new Set<string>();
  #count = 0;
  #tell: (path: string) => void;

  /** @param tell is called once for each path, at the first file that was forgotten there */
  constructor(tell: (path: string) => void) {
    this.#tell = tell;
  }

  /** Files that were forgotten so far. */
  get count(): number {
    return this.#count;
  }

  /** Tell it in another way from now on. */
  tellBy(tell: (path: string) => void): void {
    this.#tell = tell;
  }

  /**
   * Listen to the uncaught errors of this process.
   * @param end is called for every other uncaught error, and must end the process
   */
  watch(end: (error: unknown) => void): void {
    process.on("uncaughtException", (error) => {
      const path = forgottenFileOf(error);
      if (path === undefined) return end(error);
      this.#count += 1;
      if (this.#paths.has(path) || this.#paths.size >= PATHS_MAX) return;
      this.#paths.add(path);
      this.#tell(path);
    });
  }
}
