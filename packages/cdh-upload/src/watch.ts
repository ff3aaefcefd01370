import { watch } from "node:fs";

/** Watch a directory; nothing depends on it, because a look at the spool happens on a timer anyway. */
export interface SpoolWatch {
  close(): void;
}

/**
 * Call back when a published name appears in a directory. Events come in bursts and may be lost: they only hurry.
 * @param onFailure called once when the directory can't be watched (any longer)
 */
export function watchSpool(coreDir: string, onChange: () => void, onFailure: (error: unknown) => void): SpoolWatch {
  try {
    const watcher = watch(coreDir, { persistent: false }, (_event, fileName) => {
      // What is being written has a hidden name; its end is a rename.
      if (fileName?.startsWith(".") !== true) onChange();
    });
    watcher.on("error", (error) => {
      watcher.close();
      onFailure(error);
    });
    return { close: () => watcher.close() };
  } catch (error) {
    onFailure(error);
    return { close: () => {} };
  }
}
