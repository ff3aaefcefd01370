import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { parseListenAddress } from "@cdh/core/http-server";
import { storeSettings } from "@cdh/core/store/settings";
import { parseKeyTemplate, type KeyTemplate } from "./object-key.ts";
import { parseWebhookUrl } from "./webhook.ts";

/** Every setting of cdh-upload; the names of IBM's agent mean what they meant there. */
export const uploadSettings = defineSettings({
  coreDir: setting({
    env: "CORE_DIR",
    flag: "--core-dir",
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
    parse: parsers.optionalText,
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
  watchPattern: setting<string | undefined>({
    env: "WATCH_PATTERN",
    parse: parsers.optionalText,
    default: "core*",
    doc: "Plain core files in CORE_DIR that are made into bundles once they are whole and quiet, then deleted; empty: none.",
  }),
  systemdCoredumpDir: setting<string | undefined>({
    env: "SYSTEMD_COREDUMP_DIR",
    parse: parsers.optionalText,
    default: undefined,
    doc: "systemd-coredump's directory (/var/lib/systemd/coredump): its cores are sent too, and stay there.",
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
    doc: "Most bytes in quarantine; beyond it the oldest go.",
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
