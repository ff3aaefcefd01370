import { compact } from "@cdh/core/base/records";
import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { parseBytes, parseDuration } from "@cdh/core/units";
import { parseCount, parseNamespaceRules, positive, type RetentionOverride, type RetentionPolicy } from "./policy.ts";

const HOUR_MS = 3600e3;
const DAY_MS = 24 * HOUR_MS;

/** An upload of hundreds of gigabytes over a thin line is done in a day; a shorter time could take a bundle from under it. */
const ORPHAN_GRACE_MIN_MS = DAY_MS;

/** Nodes remember for a week that the store has a file, and do not send it meanwhile. */
const FILES_GRACE_MIN_MS = 8 * DAY_MS;

const optional =
  <T>(parse: (text: string) => T) =>
  (text: string): T | undefined =>
    text.trim() === "" ? undefined : parse(text);
const duration = (text: string): number => positive(parseDuration(text, "s"));
/** A grace may be nothing at all. */
const grace = (text: string): number => parseDuration(text, "s");

/** The settings of retention; `cdh-api` spreads them into its table. */
export const retentionSettings = defineSettings({
  retention: setting({
    env: "RETENTION",
    parse: parsers.boolean,
    default: false,
    doc: "Remove from the store what the RETENTION_ settings do not keep. One of the replicas does it, by a Lease.",
  }),
  retentionDryRun: setting({
    env: "RETENTION_DRY_RUN",
    parse: parsers.boolean,
    default: false,
    doc: "Only log and count what would be removed.",
  }),
  retentionMaxAgeMs: setting<number | undefined>({
    env: "RETENTION_MAX_AGE",
    flag: "--max-age",
    word: "TIME",
    parse: optional(duration),
    default: undefined,
    doc: "Remove bundles that were stored longer ago, such as 30d; empty: none for that.",
  }),
  retentionMaxCount: setting<number | undefined>({
    env: "RETENTION_MAX_COUNT",
    flag: "--max-count",
    word: "NUMBER",
    parse: optional(parseCount),
    default: undefined,
    doc: "Keep at most so many bundles of a namespace, the newest.",
  }),
  retentionMaxBytes: setting<number | undefined>({
    env: "RETENTION_MAX_BYTES",
    flag: "--max-bytes",
    word: "SIZE",
    parse: optional((text) => positive(parseBytes(text))),
    default: undefined,
    doc: "Keep at most so many bytes of a namespace, the newest; its newest bundle stays whatever its size.",
  }),
  retentionNamespaces: setting<ReadonlyMap<string, RetentionOverride>>({
    env: "RETENTION_NAMESPACES",
    parse: parseNamespaceRules,
    default: new Map<string, RetentionOverride>(),
    doc: 'Limits of single namespaces, as JSON: {"shop": {"maxAge": "90d", "maxCount": 50, "maxBytes": "10Gi"}, "test-*": {"maxAge": "1d"}}; "off" lifts a limit.',
  }),
  retentionNamespaceGoneGraceMs: setting<number | undefined>({
    env: "RETENTION_NAMESPACE_GONE_GRACE",
    parse: optional(grace),
    default: undefined,
    doc: "Remove the bundles of a namespace that was seen to be gone for so long; empty: not for that.",
  }),
  retentionPodGoneGraceMs: setting<number | undefined>({
    env: "RETENTION_POD_GONE_GRACE",
    parse: optional(grace),
    default: undefined,
    doc: "Remove the bundles of a pod that was seen to be gone for so long; empty: not for that.",
  }),
  retentionOrphanGraceMs: setting<number | undefined>({
    env: "RETENTION_ORPHAN_GRACE",
    parse: optional((text) => {
      const ms = parseDuration(text, "s");
      if (ms >= ORPHAN_GRACE_MIN_MS) return ms;
      throw new CdhError("CDH_CONFIG_INVALID", "at least 1d: an upload may be on its way for that long");
    }),
    default: undefined,
    doc: "Remove a bundle that has no manifest after so long, at least 1d; empty: never.",
  }),
  retentionFilesGraceMs: setting<number | undefined>({
    env: "RETENTION_FILES_GRACE",
    flag: "--files-grace",
    word: "TIME",
    parse: optional((text) => {
      const ms = parseDuration(text, "s");
      if (ms >= FILES_GRACE_MIN_MS) return ms;
      throw new CdhError("CDH_CONFIG_INVALID", "at least 8d: nodes remember for a week that a file is there");
    }),
    default: undefined,
    doc: "Remove programs and debug info that no bundle has referred to for so long, at least 8d; empty: never.",
  }),
  retentionIntervalMs: setting({
    env: "RETENTION_INTERVAL",
    parse: (text) => Math.max(1000, parseDuration(text, "s")),
    default: 600_000,
    doc: "Time between two looks at the whole store.",
  }),
  retentionRate: setting({
    env: "RETENTION_RATE",
    parse: parsers.integer(1, 10_000),
    default: 10,
    doc: "Most bundles removed in a second.",
  }),
  leaseName: setting({
    env: "LEASE_NAME",
    parse: parsers.text,
    default: "core-dump-handler-retention",
    doc: "Name of the Lease that decides which replica removes.",
  }),
  leaseDurationMs: setting({
    env: "LEASE_DURATION",
    parse: (text) => Math.max(1000, parseDuration(text, "s")),
    default: 30_000,
    doc: "How long a replica that went silent stays the one that removes.",
  }),
  clusterName: setting({
    env: "CLUSTER_NAME",
    parse: parsers.text,
    default: "",
    doc: "Name of this cluster: only bundles of this name are ever removed. Empty: only those that name none.",
  }),
});

/** The values of {@link retentionSettings}. */
export type RetentionSettings = SettingsOf<typeof retentionSettings>;

/** Make the policy that the settings say. */
export function policyOf(settings: RetentionSettings): RetentionPolicy {
  return {
    defaultRule: compact({
      maxAgeMs: settings.retentionMaxAgeMs,
      maxCount: settings.retentionMaxCount,
      maxBytes: settings.retentionMaxBytes,
    }),
    namespaces: settings.retentionNamespaces,
    cluster: settings.clusterName,
    ...compact({
      namespaceGoneGraceMs: settings.retentionNamespaceGoneGraceMs,
      podGoneGraceMs: settings.retentionPodGoneGraceMs,
      orphanGraceMs: settings.retentionOrphanGraceMs,
      filesGraceMs: settings.retentionFilesGraceMs,
    }),
  };
}
