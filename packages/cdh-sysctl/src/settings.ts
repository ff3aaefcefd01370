import { defineSettings, parsers, setting } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { parseListenAddress } from "@cdh/core/http-server";
import { SERVICE_ACCOUNT_DIRECTORY } from "@cdh/core/kubernetes";
import { PIPE_LIMIT_MAX } from "./node/pipe-limit.ts";
import { PROFILE_NAMES, type ProfileName } from "./node/profiles.ts";
import type { Mode } from "./node/target-node.ts";

/** When a `watch` that is stopped restores the node. */
export type RestoreOnExit = "auto" | "always" | "never";

/** Every setting of cdh-sysctl except the composer's own, which come as `COMP_*`. */
export const sysctlSettings = defineSettings({
  hostDir: setting<string | undefined>({
    env: "HOST_DIR",
    flag: "--host-dir",
    word: "DIR",
    parse: absolutePath,
    default: undefined,
    doc: "Directory on the node for the composer and its files; the profile's, else /var/mnt/core-dump-handler.",
  }),
  coreDir: setting<string | undefined>({
    env: "CORE_DIR",
    flag: "--core-dir",
    word: "DIR",
    parse: absolutePath,
    default: undefined,
    doc: "Directory on the node where bundles wait for the uploader; the profile's, else HOST_DIR/cores.",
  }),
  eventDir: setting<string | undefined>({
    env: "EVENT_DIR",
    flag: "--event-dir",
    word: "DIR",
    parse: absolutePath,
    default: undefined,
    doc: "Directory on the node for event files, when COMP_CORE_EVENTS is true; HOST_DIR/events by default.",
  }),
  profile: setting<ProfileName | undefined>({
    env: "PROFILE",
    flag: "--profile",
    word: "PROFILE",
    // eslint-disable-next-line cdh/spread-data -- the handful of names in profiles.ts
    parse: parsers.oneOf(...PROFILE_NAMES),
    default: undefined,
    doc: `Kind of host, which decides the directories: ${PROFILE_NAMES.join(", ")}; recognised by the host's os-release.`,
  }),
  mode: setting<Mode | undefined>({
    env: "MODE",
    flag: "--mode",
    word: "MODE",
    parse: parsers.oneOf("pipe", "file"),
    default: undefined,
    doc: "pipe: the kernel starts the composer; file: the kernel writes plain cores into CORE_DIR, for hosts that let no handler run. The profile's, else pipe.",
  }),
  suidDumpable: setting({
    env: "SUID_DUMPABLE",
    flag: "--suid-dumpable",
    word: "NUMBER",
    parse: parsers.integer(0, 2),
    default: 2,
    doc: "Value of fs.suid_dumpable: 2 lets root's handler see the cores of programs that change their user.",
  }),
  corePipeLimit: setting({
    env: "CORE_PIPE_LIMIT",
    flag: "--core-pipe-limit",
    word: "NUMBER",
    parse: parsers.integer(1, 65_535),
    default: PIPE_LIMIT_MAX,
    doc: "Value of kernel.core_pipe_limit: how many crashes are handled at a time; fewer by default on nodes with less than 10 GiB of memory, 64 at least. Beyond it the kernel drops them; with 0 the kernel would not wait for the handler.",
  }),
  composer: setting<string | undefined>({
    env: "COMPOSER",
    flag: "--composer",
    word: "FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Executable to install, with its `lib` directory beside it; by default the cdc that came with this program.",
  }),
  hostRoot: setting({
    env: "HOST_ROOT",
    flag: "--host-root",
    word: "DIR",
    parse: absolutePath,
    default: "/",
    doc: "Where the node's root directory is mounted.",
  }),
  procRoot: setting({
    env: "PROC_ROOT",
    flag: "--proc-root",
    word: "DIR",
    parse: absolutePath,
    default: "/proc",
    doc: "Where a /proc with writable kernel settings is mounted.",
  }),
  deployCrictlConfig: setting({
    env: "DEPLOY_CRIO_CONFIG",
    flag: "--deploy-crictl-config",
    parse: parsers.boolean,
    default: false,
    doc: "Write HOST_DIR/crictl.yaml with CRIO_ENDPOINT in it.",
  }),
  deployCrictl: setting({
    env: "DEPLOY_CRIO_EXE",
    flag: "--deploy-crictl",
    parse: parsers.boolean,
    default: false,
    doc: "Copy crictl into HOST_DIR.",
  }),
  crictl: setting<string | undefined>({
    env: "CRICTL",
    flag: "--crictl",
    word: "FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "The crictl to copy; by default the one beside the composer, else the first in LOCAL_BIN and PATH.",
  }),
  crictlEndpoint: setting<string | undefined>({
    env: "CRIO_ENDPOINT",
    flag: "--crictl-endpoint",
    word: "ENDPOINT",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Socket of the node's container runtime; the profile's, else unix:///run/containerd/containerd.sock.",
  }),
  localBin: setting({
    env: "LOCAL_BIN",
    parse: parsers.text,
    default: "",
    doc: "More directories to look for crictl in, separated by colons.",
  }),
  vendor: setting({
    env: "VENDOR",
    parse: parsers.text,
    default: "default",
    doc: "Accepted and ignored: one composer runs on every host.",
  }),
  watchIntervalMs: setting({
    env: "WATCH_INTERVAL",
    flag: "--interval",
    word: "TIME",
    parse: parseInterval,
    default: 10_000,
    doc: "How often `watch` compares the node's files and values with the wanted ones; the kernel's values at least once a second.",
  }),
  selfTestIntervalMs: setting({
    env: "SELF_TEST_INTERVAL",
    flag: "--self-test-interval",
    word: "TIME",
    parse: parseInterval,
    default: 300_000,
    doc: "How often `watch` proves again that a crash arrives.",
  }),
  proveCapture: setting({
    env: "PROVE_CAPTURE",
    flag: "--prove-capture",
    word: "BOOLEAN",
    parse: parsers.boolean,
    default: true,
    doc: "Whether `install`, `watch` and `status` crash a small program of their own to see that its bundle arrives; without it, settings are all that is looked at.",
  }),
  restoreOnExit: setting<RestoreOnExit>({
    env: "RESTORE_ON_EXIT",
    flag: "--restore-on-exit",
    word: "WHEN",
    parse: parsers.oneOf("auto", "always", "never"),
    default: "auto",
    doc: "Whether `watch` restores the node when it is stopped: auto asks the Kubernetes API whether its DaemonSet is being deleted, and on doubt leaves the handler in place.",
  }),
  readyFile: setting<string | undefined>({
    env: "READY_FILE",
    flag: "--ready-file",
    word: "FILE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "File that exists while `watch` finds the node well.",
  }),
  metricsAddress: setting<string | undefined>({
    env: "METRICS_ADDR",
    flag: "--metrics-addr",
    word: "ADDRESS",
    parse: listenAddress,
    default: undefined,
    doc: "Where `watch` serves /healthz and /metrics, such as :9110; nowhere by default.",
  }),
  podName: setting<string | undefined>({
    env: "POD_NAME",
    aliases: ["HOSTNAME"],
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of this pod, to find its DaemonSet.",
  }),
  podNamespace: setting<string | undefined>({
    env: "POD_NAMESPACE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Namespace of this pod; the service account's by default.",
  }),
  daemonSetName: setting<string | undefined>({
    env: "DAEMONSET_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of the DaemonSet; the owner of this pod by default.",
  }),
  roleBindingName: setting<string | undefined>({
    env: "ROLE_BINDING_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Name of the RoleBinding that an uninstall deletes with the DaemonSet; it is watched, because nobody may be asked afterwards.",
  }),
  serviceAccountDirectory: setting({
    env: "SERVICE_ACCOUNT_DIR",
    parse: parsers.text,
    default: SERVICE_ACCOUNT_DIRECTORY,
    doc: "Directory of the pod's service account: token, ca.crt, namespace.",
  }),
  doctorTimeoutMs: setting({
    env: "DOCTOR_TIMEOUT",
    flag: "--timeout",
    word: "TIME",
    parse: parseInterval,
    default: 30_000,
    doc: "How long a test crash may take to arrive, for `doctor`, `status`, `install` and `watch`.",
  }),
  lockTimeoutMs: setting({
    env: "LOCK_TIMEOUT",
    flag: "--lock-timeout",
    word: "TIME",
    parse: parsers.durationFromSeconds,
    default: 30_000,
    doc: "How long to wait for another cdh-sysctl that is working on the same HOST_DIR.",
  }),
});

/** Read an absolute path without a slash at its end. @throws {CdhError} CDH_CONFIG_INVALID */
function absolutePath(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not be there
  if (!text.startsWith("/") || /[\u0000-\u001f]/.test(text))
    throw new CdhError("CDH_CONFIG_INVALID", "not an absolute path");
  if (text.split("/").includes("..")) throw new CdhError("CDH_CONFIG_INVALID", "a path without .. is needed");
  return text.replace(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "");
}

function parseInterval(text: string): number {
  const ms = parsers.durationFromSeconds(text);
  if (ms < 100) throw new CdhError("CDH_CONFIG_INVALID", "shorter than 100ms");
  return ms;
}

function listenAddress(text: string): string | undefined {
  if (text === "") return undefined;
  parseListenAddress(text);
  return text;
}
