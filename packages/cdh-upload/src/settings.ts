import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { parseListenAddress } from "@cdh/core/http-server";
import { storeSettings } from "@cdh/core/store/settings";
import { checkSchedule } from "./queue/timetable.ts";
import { parseKeyTemplate, type KeyTemplate } from "./send/object-key.ts";
import { parseWebhookUrl } from "./tell/webhook.ts";

/** Every setting of cdh-upload; the names of IBM's agent mean what they meant there. */
export const uploadSettings = defineSettings({
  coreDir: setting({
    env: "CORE_DIR",
    flag: "--core-dir",
    word: "DIR",
    parse: parsers.text,
    default: "/var/mnt/core-dump-handler/cores",
    doc: "The spool: the directory that bundles are taken from.",
  }),
  ...storeSettings,
  keyTemplate: setting<KeyTemplate>({
    env: "S3_KEY_TEMPLATE",
    parse: parseKeyTemplate,
    default: parseKeyTemplate("{namespace}/{name}.zip"),
    doc: "Key of a bundle below the prefix; variables: namespace name node cluster pod signal date. Ends with {name}.zip.",
  }),
  storeRules: setting<string | undefined>({
    env: "STORE_RULES",
    parse: parsers.optionalText,
    default: undefined,
    doc: "JSON file of rules that send the bundles of some namespaces to stores of their own; STORE_URL takes the rest. See docs/upload.md.",
  }),
  useInotify: setting<boolean | undefined>({
    env: "USE_INOTIFY",
    parse: (text) => (text === "" ? undefined : parsers.boolean(text)),
    default: undefined,
    doc: "Look at once when something appears in the spool. Default: true, unless INTERVAL or SCHEDULE is set.",
  }),
  intervalMs: setting<number | undefined>({
    env: "INTERVAL",
    parse: (text) => (text === "" ? undefined : parsers.durationFromMs(text)),
    default: undefined,
    doc: "Time between two looks at the spool; a bare number is milliseconds. Default 60s.",
  }),
  schedule: setting<string | undefined>({
    env: "SCHEDULE",
    parse: (text) => (text === "" ? undefined : checkSchedule(text)),
    default: undefined,
    doc: "Cron expression (five fields, or six with seconds; UTC): upload only then. INTERVAL wins over it.",
  }),
  uploadConcurrency: setting({
    env: "UPLOAD_CONCURRENCY",
    parse: parsers.integer(1, 64),
    default: 8,
    doc: "Bundles that are sent at the same time; PART_CONCURRENCY bounds what is on its way.",
  }),
  keepUploaded: setting({
    env: "KEEP_UPLOADED",
    parse: parsers.boolean,
    default: false,
    doc: "Move an uploaded bundle to CORE_DIR/uploaded in place of deleting it.",
  }),
  notices: setting({
    env: "NOTICES",
    parse: parsers.boolean,
    default: false,
    doc: "Post a notice of each bundle into the store (_notices/), so that cdh-api lists it at once. Removed after 15 minutes.",
  }),
  watchPattern: setting<string | undefined>({
    env: "WATCH_PATTERN",
    parse: parsers.optionalText,
    default: "core*",
    doc: "Plain core files in CORE_DIR/plain and CORE_DIR that are made into bundles once they are whole and quiet, then deleted; empty: none.",
  }),
  message: setting({
    env: "MESSAGE",
    parse: parsers.boolean,
    default: true,
    doc: "What a program said of its own end (failed assertion) in the manifests of cores that are made into bundles here; false: left out.",
  }),
  systemdCoredumpDir: setting<string | undefined>({
    env: "SYSTEMD_COREDUMP_DIR",
    parse: parsers.optionalText,
    default: undefined,
    doc: "systemd-coredump's directory (/var/lib/systemd/coredump): its cores are sent too, and stay there.",
  }),
  hostRoot: setting({
    env: "HOST_ROOT",
    parse: parsers.text,
    default: "/",
    doc: "The node's root, as far as it is mounted here: /var/log/pods and the runtime's records tell the pod of a core of systemd-coredump's.",
  }),
  journalDirectory: setting({
    env: "JOURNAL_DIRECTORY",
    parse: parsers.text,
    default: "/var/log/journal",
    doc: "The node's journal: systemd-coredump's own record there names the cgroup of each of its cores.",
  }),
  journalctl: setting<string | undefined>({
    env: "JOURNALCTL",
    parse: parsers.optionalText,
    default: undefined,
    doc: "The program that reads the journal. Default: journalctl, with another HOST_ROOT than / the node's own.",
  }),
  maxUse: setting<number | undefined>({
    env: "MAX_USE",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Most bytes for all bundles in the spool together; beyond it room is made.",
  }),
  keepFree: setting<number | undefined>({
    env: "KEEP_FREE",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Bytes that must stay free on the spool's file system; below it room is made.",
  }),
  quarantineMaxUse: setting<number | undefined>({
    env: "QUARANTINE_MAX_USE",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Most bytes in quarantine; beyond it the oldest go: damaged ones, and with VACUUM_UNSENT also what the store did not take.",
  }),
  vacuumUnsent: setting({
    env: "VACUUM_UNSENT",
    parse: parsers.boolean,
    default: false,
    doc: "Let MAX_USE and KEEP_FREE remove bundles that never reached the store, when nothing else is left to remove.",
  }),
  shutdownGraceMs: setting({
    env: "SHUTDOWN_GRACE",
    parse: parsers.durationFromSeconds,
    default: 20_000,
    doc: "After SIGTERM, how long running uploads may go on before they are given up cleanly.",
  }),
  quarantineAttempts: setting({
    env: "QUARANTINE_ATTEMPTS",
    parse: parsers.integer(1, 100),
    default: 3,
    doc: "Attempts with a bundle that is itself the trouble before it goes to quarantine.",
  }),
  metricsAddress: setting<string | undefined>({
    env: "METRICS_ADDR",
    flag: "--metrics-addr",
    word: "ADDRESS",
    parse: (text) => {
      if (text.trim() === "") return undefined;
      parseListenAddress(text);
      return text;
    },
    default: undefined,
    doc: "Serve /metrics, /healthz and /readyz there, such as :9100; empty: not at all.",
  }),
  statusFile: setting<string | undefined>({
    env: "STATUS_FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "File that reads `started` while the daemon runs and `dead` after it ended, for probes that grep it.",
  }),
  kubernetesEvents: setting<boolean | undefined>({
    env: "KUBERNETES_EVENTS",
    parse: (text) => (text === "" ? undefined : parsers.boolean(text)),
    default: undefined,
    doc: "Write an Event on each crashed pod. Default: true inside of a cluster.",
  }),
  hasApi: setting({
    env: "API_ENABLED",
    parse: parsers.boolean,
    default: false,
    doc: "cdh-api serves these crashes in this cluster: Events end with a command of `kubectl coredump` in place of cdh-inspect's for the store.",
  }),
  podFacts: setting<boolean | undefined>({
    env: "POD_FACTS",
    parse: (text) => (text === "" ? undefined : parsers.boolean(text)),
    default: undefined,
    doc: "Complete manifests with labels, owner and image id of the pod, where the node did not know them. Default: true inside of a cluster.",
  }),
  webhookUrl: setting<string | undefined>({
    env: "WEBHOOK_URL",
    parse: parseWebhookUrl,
    default: undefined,
    secret: true,
    doc: "Send a CloudEvent there for each uploaded bundle.",
  }),
  nodeName: setting<string | undefined>({
    env: "NODE_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of this node.",
  }),
  clusterName: setting<string | undefined>({
    env: "CLUSTER_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of this cluster.",
  }),
});

/** The values of {@link uploadSettings}. */
export type UploadSettings = SettingsOf<typeof uploadSettings>;
