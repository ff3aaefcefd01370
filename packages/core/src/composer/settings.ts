import { TIMER_MAX_MS, timerMs } from "../base/clock.ts";
import type { Compression } from "../bundle/manifest.ts";
import { DEFAULT_FILENAME_TEMPLATE } from "../bundle/naming.ts";
import { defineSettings, parsers, setting, type SettingsOf } from "../service/config.ts";
import type { LogLevel } from "../service/log.ts";
import { parseRateLimit, type RateLimit } from "./rate-limit.ts";
import {
  parseCompression,
  parseLogLevel,
  parseProcInfo,
  parseSignals,
  parseTemplate,
  parseWatchLease,
  type ProcInfo,
} from "./setting-texts.ts";
import { parseInodes, parseSpace, type Inodes, type Space } from "./space.ts";

/**
 * Everything the composer can be told: the only place that knows a setting's name, how it is read, its default and what it
 * means. `cdc` reads it totally, from `.env` beside the executable, because the kernel starts it with an empty environment:
 * a text that a parser refuses becomes a problem, and the default holds. `cdh-sysctl` reads it strictly and refuses to
 * write such an `.env`. The reference comes from here too.
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
  take: setting({
    env: "TAKE",
    parse: parsers.oneOf("pipe", "auto", "memory", "check"),
    default: "pipe" as "pipe" | "auto" | "memory" | "check",
    doc: "pipe: a core is compressed while it arrives; auto: it goes to the spool as it is and is compressed when its process was let go, where disk and room allow it; memory (experimental): as auto, and read from the process where that can be done; check: memory and pipe are both read and compared",
  }),
  takeKillAbove: setting({
    env: "TAKE_KILL_ABOVE",
    parse: parsers.bytes,
    default: 64 * 1024 ** 3,
    unit: "bytes",
    doc: "Where a core was read from memory and the kernel would still walk over more than this, the process is ended by SIGKILL (status 137); 0: never",
  }),
  timeoutMs: setting({
    env: "TIMEOUT",
    parse: (text) => timerMs(parsers.durationFromSeconds(text)) || TIMER_MAX_MS,
    default: 600_000,
    unit: "s",
    doc: "A core still arriving after this long is cut and its bundle finished (exit 32); 0: no limit",
  }),
  metadataTimeoutMs: setting({
    env: "METADATA_TIMEOUT",
    parse: (text) => timerMs(parsers.durationFromSeconds(text)),
    default: 5_000,
    unit: "s",
    doc: "How long /proc, the runtime's files and crictl may take, all together",
  }),
  filenameTemplate: setting({
    env: "FILENAME_TEMPLATE",
    parse: parseTemplate,
    default: DEFAULT_FILENAME_TEMPLATE,
    doc: "Name of the bundle and its entries",
  }),
  coreSizeMax: setting({
    env: "CORE_SIZE_MAX",
    parse: parsers.optionalBytes,
    default: undefined,
    unit: "bytes",
    doc: "Keep at most so much of a core",
  }),
  memoryMax: setting({
    env: "MEMORY_MAX",
    parse: parsers.bytes,
    default: 256 * 1024 * 1024,
    unit: "bytes",
    doc: "Memory of one composer; past it the bundle is finished with what was written. It takes below 128 MiB",
  }),
  maxUse: setting({
    env: "MAX_USE",
    parse: parsers.optionalBytes,
    default: undefined,
    unit: "bytes",
    doc: "Let the spool take at most so much",
  }),
  keepFree: setting({
    env: "KEEP_FREE",
    parse: parseSpace,
    default: { fraction: 0.16 } as Space,
    unit: "bytes",
    doc: "Leave so much of the file system free: a size or a percentage; default 16 %, above the kubelet's evictions",
  }),
  keepFreeInodes: setting({
    env: "KEEP_FREE_INODES",
    parse: parseInodes,
    default: { fraction: 0.06 } as Inodes,
    unit: "inodes",
    doc: "Below so many free inodes, a number or a percentage, crashes are only counted; default 6 %; 0: no limit",
  }),
  rlimitCore: setting({
    env: "RLIMIT_CORE",
    parse: parsers.oneOf("honour", "ignore"),
    default: "honour" as const,
    doc: "honour: keep no more of the core than the process's own limit allows; ignore: keep it all",
  }),
  spoolGroup: setting({
    env: "SPOOL_GROUP",
    parse: parsers.integer(0, 4_294_967_294),
    default: undefined as number | undefined,
    unit: "gid",
    doc: "Number of a group that may read bundles and event files; default: root alone",
  }),
  rateLimit: setting({
    env: "RATE_LIMIT",
    parse: parseRateLimit,
    default: { count: 5, windowMs: 3_600_000 } as RateLimit | undefined,
    doc: "Bundles per workload, executable and signal, such as 5/1h; 0: no limit, not by pod or namespace either",
  }),
  rateLimitPod: setting({
    env: "RATE_LIMIT_POD",
    parse: parseRateLimit,
    default: { count: 20, windowMs: 3_600_000 } as RateLimit | undefined,
    doc: "Bundles per pod, whatever crashes in it; outside of pods per user; 0: no limit",
  }),
  rateLimitNamespace: setting({
    env: "RATE_LIMIT_NAMESPACE",
    parse: parseRateLimit,
    default: { count: 100, windowMs: 3_600_000 } as RateLimit | undefined,
    doc: "Bundles per namespace on this node; 0: no limit",
  }),
  keepPerSite: setting({
    env: "KEEP_PER_SITE",
    parse: parseRateLimit,
    default: { count: 3, windowMs: 24 * 3_600_000 } as RateLimit | undefined,
    doc: "Whole cores of one place in a program and one workload, such as 3/24h; the next ones are reports without memory; 0: keep all",
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
    parse: parseSignals,
    default: [] as number[],
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
    unit: "lines",
    doc: "Lines of each container's log",
  }),
  stack: setting({
    env: "STACK",
    parse: parsers.boolean,
    default: true,
    doc: "on: stacks with functions' names in the manifest, read on the node when a process crashes; off: registers alone",
  }),
  message: setting({
    env: "MESSAGE",
    parse: parsers.boolean,
    default: true,
    doc: "on: what the program said of its own end (panic, failed assertion) in the manifest, from its memory or log; off: left out",
  }),
  artefacts: setting({
    env: "ARTEFACTS",
    parse: parsers.boolean,
    default: true,
    doc: "on: what the program's runtime wrote about the crash (hs_err_pid*.log, Node's report, javacore, .NET's crash report) in the bundle; off: left out",
  }),
  binaries: setting({
    env: "BINARIES",
    parse: parsers.oneOf("all", "executable", "off"),
    default: "all" as const,
    doc: "Send the program and libraries of a crash (all), or the program alone (executable), once for each build-id",
  }),
  binariesMax: setting({
    env: "BINARIES_MAX",
    parse: parsers.bytes,
    default: 512 * 1024 * 1024,
    unit: "bytes",
    doc: "Of BINARIES, most bytes of one file, and of all of a crash together",
  }),
  coreEvents: setting({
    env: "CORE_EVENTS",
    parse: parsers.boolean,
    default: false,
    doc: "Write an event file for every crash",
  }),
  eventDirectory: setting({
    env: "EVENT_DIRECTORY",
    aliases: ["CORE_EVENT_DIR"],
    parse: parsers.optionalText,
    default: undefined,
    doc: "Where event files go; default: events beside the composer",
  }),
  watchLeaseMs: setting({
    env: "WATCH_LEASE",
    parse: parseWatchLease,
    default: 7 * 24 * 3_600_000,
    unit: "s",
    doc: "A handler that cdh-sysctl watch has not looked after for so long gives the kernel the node's own values back; at least 10m; 0: never",
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
