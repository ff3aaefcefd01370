import { defineSettings, parsers, setting, type SettingsOf } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { parseListenAddress } from "@cdh/core/http-server";
import { storeSettings } from "@cdh/core/store/settings";
import { AUDIENCE } from "./group.ts";
import { retentionSettings } from "./retention/settings.ts";

const listenAddress = (text: string): string => {
  parseListenAddress(text);
  return text;
};

const namespaceName = (text: string): string => {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text))
    throw new CdhError("CDH_CONFIG_INVALID", "not a namespace's name");
  return text;
};

const between = (shortestMs: number, longestMs: number) => (text: string) => {
  const ms = parsers.durationFromSeconds(text);
  if (ms < shortestMs || ms > longestMs) {
    throw new CdhError("CDH_CONFIG_INVALID", `not between ${shortestMs / 1000} and ${longestMs / 1000} s`);
  }
  return ms;
};

/** What becomes of the index in the store. */
const INDEX_USES = ["write", "read", "off"] as const;
type IndexUse = (typeof INDEX_USES)[number];

/** Every setting of cdh-api. */
export const apiSettings = defineSettings({
  listenAddress: setting({
    env: "LISTEN_ADDR",
    flag: "--listen-addr",
    word: "ADDRESS",
    parse: listenAddress,
    default: ":8443",
    doc: "Serve the API, REST and the page there, with TLS.",
  }),
  tlsCertFile: setting<string | undefined>({
    env: "TLS_CERT_FILE",
    flag: "--tls-cert-file",
    word: "FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "PEM file of the certificate, with its chain. Read again when it changes. Needed.",
  }),
  tlsKeyFile: setting<string | undefined>({
    env: "TLS_KEY_FILE",
    flag: "--tls-key-file",
    word: "FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "PEM file of the certificate's key. Needed.",
  }),
  ...storeSettings,
  // People wait for the answer: a wait that a nightly upload can afford is an error here.
  storeTimeoutMs: { ...storeSettings.storeTimeoutMs, default: 15_000 },
  metricsAddress: setting<string | undefined>({
    env: "METRICS_ADDR",
    flag: "--metrics-addr",
    word: "ADDRESS",
    parse: (text) => (text.trim() === "" ? undefined : listenAddress(text)),
    default: undefined,
    doc: "Serve /metrics, /healthz and /readyz there without TLS, such as :9100; empty: not at all.",
  }),
  hostNamespace: setting({
    env: "HOST_NAMESPACE",
    parse: namespaceName,
    default: "core-dump-handler-host",
    doc: "Namespace in which dumps of host processes, restricted ones and those of unproven identity are shown.",
  }),
  trustUnverified: setting({
    env: "TRUST_UNVERIFIED",
    parse: parsers.boolean,
    default: false,
    doc: "Show a dump in the namespace that its host name suggests, though nothing proves it (bundles of IBM's agent).",
  }),
  refreshIntervalMs: setting({
    env: "REFRESH_INTERVAL",
    parse: between(1000, 3600e3),
    default: 30_000,
    doc: "Time between two listings of the store; a request that needs it hurries one.",
  }),
  notices: setting({
    env: "NOTICES",
    parse: parsers.boolean,
    default: true,
    doc: "Follow the notices that cdh-upload posts with NOTICES=true, so that a dump is listed at once; and post those of removals.",
  }),
  groupEvents: setting({
    env: "GROUP_EVENTS",
    parse: parsers.boolean,
    default: false,
    doc: "Write a Kubernetes Event on a workload when a bug is new in the image that it runs.",
  }),
  index: setting<IndexUse>({
    env: "INDEX",
    parse: (text) => {
      const use = INDEX_USES.find((one) => one === text.trim());
      if (use === undefined) throw new CdhError("CDH_CONFIG_INVALID", `not one of ${INDEX_USES.join(", ")}`);
      return use;
    },
    default: "write",
    doc: "Keep the index in the store, so that a replica that starts need not read every manifest: write (one replica keeps it), read (others of this store do), off.",
  }),
  indexIntervalMs: setting({
    env: "INDEX_INTERVAL",
    parse: between(1000, 24 * 3600e3),
    default: 600_000,
    doc: "Time between two writings of what is new into the index in the store.",
  }),
  audiences: setting<string[]>({
    env: "TOKEN_AUDIENCES",
    parse: parsers.list,
    default: [AUDIENCE],
    doc: "A direct caller's token must be for one of these audiences; empty: for the cluster's API server.",
  }),
  frontProxy: setting({
    env: "FRONT_PROXY",
    parse: parsers.boolean,
    default: true,
    doc: "Serve the cluster's API aggregator, known by its client certificate.",
  }),
  rightsCacheMs: setting({
    env: "RIGHTS_CACHE",
    parse: between(0, 300e3),
    default: 10_000,
    doc: "How long the API server's answer about a token or a right is used again.",
  }),
  linkLifetimeMs: setting({
    env: "LINK_LIFETIME",
    parse: between(1000, 3600e3),
    default: 300_000,
    doc: "How long a download link works, at most.",
  }),
  downloadsMax: setting({
    env: "DOWNLOADS_MAX",
    parse: parsers.integer(1, 10_000),
    default: 256,
    doc: "Downloads at the same time; more are told to come again. One user has half of them at most.",
  }),
  coresMax: setting({
    env: "CORES_MAX",
    parse: parsers.integer(1, 256),
    default: 16,
    doc: "Of them, those that decompress a core or write a report. One user has half of them at most.",
  }),
  stallTimeoutMs: setting({
    env: "STALL_TIMEOUT",
    parse: between(1000, 3600e3),
    default: 60_000,
    doc: "A client that takes nothing for so long is cut off.",
  }),
  ...retentionSettings,
});

/** The values of {@link apiSettings}. */
export type ApiSettings = SettingsOf<typeof apiSettings>;
