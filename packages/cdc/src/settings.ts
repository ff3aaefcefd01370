import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { tryParseLogLevel, type LogLevel } from "@cdh/core/log";
import { DEFAULT_FILENAME_TEMPLATE } from "@cdh/core/bundle/naming";
import { CdhError } from "@cdh/core/errors";
import type { Compression } from "@cdh/core/bundle/manifest";
import { parseRateLimit, type RateLimit } from "./rate-limit.ts";
import { parseSpace, type Space } from "./space.ts";

/** The longest that a timer can wait, nearly 25 days; a longer one would end at once. @see setTimeout of Node */
const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Everything the composer can be told. It comes from `.env` beside the executable, because the kernel starts the
 * composer with an empty environment; a variable that is set wins over the file.
 */
export const composerSettings = defineSettings({
  coreDir: setting({
    env: "CORE_DIR",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Spool directory; default: cores beside the composer",
  }),
  logLevel: setting({
    env: "LOG_LEVEL",
    parse: parseLogLevel,
    default: "info" as LogLevel,
    doc: "trace, debug, info, warn, error or off",
  }),
  compression: setting({
    env: "COMPRESSION",
    parse: parseCompression,
    default: "zstd" as Compression,
    doc: "zstd, deflate (or true) or none (or false)",
  }),
  compressionLevel: setting({
    env: "COMPRESSION_LEVEL",
    parse: parsers.integer(1, 19),
    default: 1,
    doc: "1 (fast) to 19 for zstd, to 9 for deflate",
  }),
  compressionThreads: setting({
    env: "COMPRESSION_THREADS",
    parse: parsers.integer(0, 64),
    default: 0,
    doc: "Frames compressed at once; 0: as many as there are CPUs, at most 4",
  }),
  timeoutMs: setting({
    env: "TIMEOUT",
    parse: (text) => timerMs(parsers.durationFromSeconds(text)) || TIMER_MAX_MS,
    default: 600_000,
    doc: "A core still arriving after this long is cut and its bundle finished (exit 32); 0: no limit",
  }),
  metadataTimeoutMs: setting({
    env: "METADATA_TIMEOUT",
    parse: (text) => timerMs(parsers.durationFromSeconds(text)),
    default: 5_000,
    doc: "How long /proc, the runtime's files and crictl may take, all together",
  }),
  filenameTemplate: setting({
    env: "FILENAME_TEMPLATE",
    parse: parsers.text,
    default: DEFAULT_FILENAME_TEMPLATE,
    doc: "Name of the bundle and its entries",
  }),
  coreSizeMax: setting({
    env: "CORE_SIZE_MAX",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Keep at most so much of a core",
  }),
  maxUse: setting({
    env: "MAX_USE",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Let the spool take at most so much",
  }),
  keepFree: setting({
    env: "KEEP_FREE",
    parse: parseSpace,
    default: { fraction: 0.05, maxBytes: 4 * 1024 ** 3 } as Space,
    doc: "Leave so much of the file system free: a size or a percentage; default 5 %, at most 4Gi",
  }),
  rlimitCore: setting({
    env: "RLIMIT_CORE",
    parse: parsers.oneOf("honour", "ignore"),
    default: "honour" as const,
    doc: "honour: keep no more of the core than the process's own limit allows; ignore: keep it all",
  }),
  rateLimit: setting({
    env: "RATE_LIMIT",
    parse: parseRateLimit,
    default: { count: 5, windowMs: 3_600_000 } as RateLimit | undefined,
    doc: "Bundles per workload, executable and signal, such as 5/1h; 0: no limit",
  }),
  namespaceInclude: setting({
    env: "NAMESPACE_INCLUDE",
    parse: parsers.list,
    default: [] as string[],
    doc: "Keep only crashes in these namespaces; * at the end matches the rest",
  }),
  namespaceExclude: setting({
    env: "NAMESPACE_EXCLUDE",
    parse: parsers.list,
    default: [] as string[],
    doc: "Drop crashes in these namespaces",
  }),
  podSelectorLabel: setting({
    env: "POD_SELECTOR_LABEL",
    parse: parsers.text,
    default: "",
    doc: "Keep only pods with this label: key, key=value or !key",
  }),
  commExclude: setting({
    env: "COMM_EXCLUDE",
    parse: parsers.list,
    default: [] as string[],
    doc: "Drop crashes of these process names",
  }),
  signalExclude: setting({
    env: "SIGNAL_EXCLUDE",
    parse: parsers.list,
    default: [] as string[],
    doc: "Drop crashes by these signals: SIGQUIT, 3",
  }),
  hostCrashes: setting({
    env: "HOST_CRASHES",
    parse: parsers.oneOf("keep", "ignore", "chain"),
    default: "keep" as const,
    doc: "Crashes outside containers: keep, ignore, or chain: hand them to the handler that was there before",
  }),
  ignoreCrio: setting({ env: "IGNORE_CRIO", parse: parsers.boolean, default: false, doc: "Do not ask crictl" }),
  useCrioConf: setting({
    env: "USE_CRIO_CONF",
    parse: parsers.boolean,
    default: false,
    doc: "Give crictl the crictl.yaml beside the composer",
  }),
  includeProcInfo: setting({
    env: "INCLUDE_PROC_INFO",
    parse: parseProcInfo,
    default: "facts" as ProcInfo,
    doc: "Files of /proc in the bundle: facts; environ adds the environment, which may hold secrets",
  }),
  logLength: setting({
    env: "LOG_LENGTH",
    parse: parsers.integer(0, 1_000_000),
    default: 500,
    doc: "Lines of each container's log",
  }),
  coreEvents: setting({
    env: "CORE_EVENTS",
    parse: parsers.boolean,
    default: false,
    doc: "Write an event file for every crash",
  }),
  eventDirectory: setting({
    env: "EVENT_DIRECTORY",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Where event files go; default: events beside the composer",
  }),
  nodeName: setting({
    env: "NODE_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of the node; default: its host name",
  }),
  clusterName: setting({
    env: "CLUSTER_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of the cluster, for the manifest",
  }),
  procRoot: setting({
    env: "PROC_ROOT",
    aliases: ["OVERRIDE_PROC_FOLDER_PATH"],
    parse: parsers.text,
    default: "/proc",
    doc: "Where /proc is",
  }),
  queueSlots: setting({
    env: "CONCURRENCY",
    parse: parsers.integer(1, 64),
    default: 4,
    doc: "Composers that compress at once on this node; the others wait in line",
  }),
});

/** The composer's settings as values. */
export type ComposerSettings = SettingsOf<typeof composerSettings>;

/** Which files of /proc/<pid> go into the bundle. */
export type ProcInfo = "none" | "facts" | "environ";

/** Bring a duration into what timers take: whole milliseconds, not too many. */
export function timerMs(ms: number): number {
  return Math.min(TIMER_MAX_MS, Math.ceil(ms));
}

function parseLogLevel(text: string): LogLevel {
  const level = tryParseLogLevel(text);
  if (level === undefined) throw new CdhError("CDH_CONFIG_INVALID", "no log level");
  return level;
}

function parseCompression(text: string): Compression {
  const lower = text.trim().toLowerCase();
  if (lower === "zstd" || lower === "deflate" || lower === "none") return lower;
  return parsers.boolean(text) ? "deflate" : "none";
}

/** IBM's switch was true or false for all five files; environ is now a choice of its own, because it holds secrets. */
function parseProcInfo(text: string): ProcInfo {
  const lower = text.trim().toLowerCase();
  if (lower === "environ" || lower === "none" || lower === "facts") return lower;
  parsers.boolean(text);
  return "facts";
}
