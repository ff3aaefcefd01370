import { watch as watchFiles } from "node:fs";

/** Tell of changes to named files of a directory, where there is inotify. */
export class FileChanges {
  readonly #stop = new AbortController();
  #wake: () => void = () => {};

  constructor(directory: string, names: readonly string[]) {
    try {
      const watcher = watchFiles(directory, { signal: this.#stop.signal, persistent: false }, (_event, name) => {
        if (name !== null && names.includes(name)) this.#wake();
      });
      watcher.on("error", () => {});
    } catch {
      // No inotify here: whoever asks also looks by the clock.
    }
  }

  /** Resolves at the next change. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.#stop.abort();
  }
}
