import type { Logger } from "@cdh/core/log";
import { secureWorkDirectories } from "@cdh/core/spool/spool-owner";

/**
 * See to it that nothing is written through a link of somebody else's.
 * @param makes whether directories that are missing are made
 */
export async function secureSpool(coreDir: string, log: Logger, makes: boolean): Promise<void> {
  for (const path of await secureWorkDirectories(coreDir, makes))
    log.warn("moved aside: it stood in the place of a directory of ours", { path });
}
