import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { storeSettings } from "@cdh/core/store/settings";
import { parseKeyTemplate, type KeyTemplate } from "./object-key.ts";

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
    default: 4,
    doc: "Bundles that are sent at the same time.",
  }),
  keepUploaded: setting({
    env: "KEEP_UPLOADED",
    parse: parsers.boolean,
    default: false,
    doc: "Move an uploaded bundle to CORE_DIR/uploaded in place of deleting it.",
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
  nodeName: setting<string | undefined>({ env: "NODE_NAME", parse: parsers.optionalText, default: undefined, doc: "Name of this node." }),
  clusterName: setting<string | undefined>({
    env: "CLUSTER_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of this cluster.",
  }),
});

/** The values of {@link uploadSettings}. */
export type UploadSettings = SettingsOf<typeof uploadSettings>;
