import { statSync } from "node:fs";
import { join } from "node:path";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import type { Crash } from "@cdh/core/kernel/crash";
import { PROBE_NAME } from "@cdh/core/spool/probe";

/**
 * Tell whether a crash is the one by which `cdh-sysctl` proves capture. A name can be taken by anybody; so the crashed
 * process's executable has to be the very file that lies under this name in HOST_DIR, root's own and closed to
 * everybody else. Only root on the node can start that.
 *
 * A probe that was killed while it dumped, by its deadline or with its pod, has left nothing in /proc to compare. Then its
 * name counts, which nobody can guess, where the kernel says that root crashed and the file is there.
 * @param exeDir HOST_DIR
 * @param proc the node's /proc
 */
export function isProbe(crash: Crash, exeDir: string, proc: string): boolean {
  if (crash.comm === undefined || crash.pid === undefined || !PROBE_NAME.test(crash.comm)) return false;
  try {
    const program = statSync(join(exeDir, crash.comm), { bigint: true });
    if (!program.isFile() || program.uid !== 0n || (program.mode & 0o077n) !== 0n) return false;
    const running = statSync(join(proc, String(crash.pid), "exe"), { bigint: true, throwIfNoEntry: false });
    if (running === undefined) return crash.uid === 0;
    return program.ino === running.ino && program.dev === running.dev;
  } catch {
    return false;
  }
}

/**
 * Change the settings for a probe: it is kept whatever the filters say, and it counts nowhere. Everything else, the room on the disk included, is as it is for a crash.
 */
export function settingsForProbe(settings: ComposerSettings): ComposerSettings {
  return {
    ...settings,
    logLevel: "error",
    rateLimit: undefined,
    signalExclude: [],
    commExclude: [],
    namespaceExclude: [],
    namespaceInclude: [],
    podSelectorLabel: "",
    hostCrashes: "keep",
    coreEvents: false,
    ignoreCrio: true,
    logLength: 0,
  };
}
