/** Dump mode 2: the process was not its user's to read. @see core(5) %d, proc(5) suid_dumpable */
export const DUMPABLE_AS_ROOT_ONLY = 2;

/** What `N-dump-info.json` holds: IBM's keys, and one of ours at the end; every value a string. */
export interface DumpInfo {
  uuid: string;
  dump_file: string;
  timestamp: string;
  hostname: string;
  exe: string;
  /** The pid inside the process's own namespace (%p), as IBM's handler recorded it. */
  real_pid: string;
  signal: string;
  node_hostname: string;
  path: string;
  /**
   * Ours: whether only administrators may read the core (dump mode 2), `true` or `false`; absent when the kernel did not
   * say. It is written before the core, and so stands also where the manifest never came or cannot be read.
   */
  restricted?: string | undefined;
}

/** Serialise dump info with real JSON escaping, keys in IBM's order, ours last. */
export function formatDumpInfo(info: DumpInfo): string {
  return `${JSON.stringify({
    uuid: info.uuid,
    dump_file: info.dump_file,
    timestamp: info.timestamp,
    hostname: info.hostname,
    exe: info.exe,
    real_pid: info.real_pid,
    signal: info.signal,
    node_hostname: info.node_hostname,
    path: info.path,
    ...(info.restricted === undefined ? {} : { restricted: info.restricted }),
  })}\n`;
}
