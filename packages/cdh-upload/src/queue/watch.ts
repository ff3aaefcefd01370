import { statSync, watch } from "node:fs";
import { stat } from "node:fs/promises";

/** Watch a directory; nothing depends on it, because a look at the spool happens on a timer anyway. */
export interface SpoolWatch {
  /** Tell whether the name still leads to the directory that is watched: it may have been removed and made anew. */
  isCurrent(): Promise<boolean>;
  close(): void;
}

/**
 * Call back when a published name appears in a directory. Events come in bursts and may be lost: they only hurry.
 * @param onFailure called once when the directory can't be watched (any longer)
 */
export function watchSpool(coreDir: string, onChange: () => void, onFailure: (error: unknown) => void): SpoolWatch {
  try {
    // Looked at before it is watched: one that is replaced in between counts as not current.
    const watched = identityOf(statSync(coreDir, { bigint: true }));
    const watcher = watch(coreDir, { persistent: false }, (_event, fileName) => {
      // What is being written has a hidden name; its end is a rename.
      if (fileName?.startsWith(".") !== true) onChange();
    });
    watcher.on("error", (error) => {
      watcher.close();
      onFailure(error);
    });
    return {
      isCurrent: async () => identityOf(await stat(coreDir, { bigint: true }).catch(() => undefined)) === watched,
      close: () => watcher.close(),
    };
  } catch (error) {
    onFailure(error);
    return { isCurrent: async () => true, close: () => {} };
  }
}

function identityOf(stats: { dev: bigint; ino: bigint } | undefined): string | undefined {
  return stats === undefined ? undefined : `${stats.dev} ${stats.ino}`;
}
