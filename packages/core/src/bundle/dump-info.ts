/** What `N-dump-info.json` holds: IBM's keys, every value a string. */
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
}

/** Serialise dump info with real JSON escaping, keys in IBM's order. */
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
  })}\n`;
}
