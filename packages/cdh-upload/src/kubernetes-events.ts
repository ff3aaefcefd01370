import { toRfc3339, type Clock } from "@cdh/core/clock";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { printable } from "@cdh/core/output";
import { formatBytes } from "@cdh/core/units";
import { createHash } from "node:crypto";
import type { BundleFacts } from "./bundle-facts.ts";
import { HOST_NAMESPACE } from "./bundle-facts.ts";
import type { Talker } from "./events.ts";
import { Outbox } from "./outbox.ts";

/** The API server refuses longer messages. */
const MESSAGE_MAX = 1024;

/** The API server itself keeps Events for an hour. */
const MAX_AGE_MS = 3600e3;

/** What is said about a crash; no more, because many may wait. */
interface CrashNotice {
  namespace: string;
  podName: string;
  podUid: string | undefined;
  containerName: string | undefined;
  /** Of the Event. */
  name: string;
  reason: "CoreDumped" | "CoreDumpLost";
  message: string;
  /** Crashes that this one stands for. */
  count: number;
}

/**
 * Write an Event on each pod whose core reached the store, and on each whose core was given up. The same process that
 * crashes again with the same signal raises the count of one Event, as the kubelet does for its own.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
 */
export function writeKubernetesEvents(
  access: KubernetesAccess,
  options: { clock: Clock; log: Logger; nodeName: string | undefined },
): Talker {
  const { clock, log } = options;
  let refusedWith: number | undefined;
  const outbox = new Outbox<CrashNotice>({
    receiver: "Kubernetes Events",
    clock,
    log,
    maxAgeMs: MAX_AGE_MS,
    send: async (notice) => {
      const answer = await writeEvent(access, notice, options);
      if (answer.status >= 200 && answer.status < 300) {
        refusedWith = undefined;
        return { status: "done" };
      }
      // Somebody else has just made or changed the same Event: the next look finds it.
      if (answer.status === 0 || answer.status >= 500 || [408, 409, 429].includes(answer.status))
        return { status: "later", reason: answer.problem ?? `HTTP ${answer.status}` };
      const { namespace, podName: pod } = notice;
      // A right that is missing is missing for each crash: said once.
      const say = refusedWith === answer.status ? log.debug : log.warn;
      refusedWith = answer.status;
      say("cannot write the Event", {
        namespace,
        pod,
        httpStatus: answer.status,
        reason: messageOf(answer.body),
        ...([401, 403].includes(answer.status)
          ? {
              hint: "the service account needs get, create and patch on events; KUBERNETES_EVENTS=false turns them off",
            }
          : {}),
      });
      return { status: "refused" };
    },
  });
  const tell = (facts: BundleFacts, said: Pick<CrashNotice, "reason" | "message" | "count">): void => {
    const { pod, container } = facts.manifest;
    if (facts.namespace === HOST_NAMESPACE || pod?.name === undefined) return;
    const message = printable(said.message).slice(0, MESSAGE_MAX);
    outbox.add({
      ...said,
      message,
      namespace: facts.namespace,
      podName: pod.name,
      podUid: pod.uid,
      containerName: container?.name,
      name: eventName(facts, said.reason),
    });
  };
  return {
    settle: () => outbox.settle(),
    close: () => outbox.close(),
    ended: (outcome) => {
      if (outcome.status !== "uploaded") return;
      const { facts, location } = outcome.uploaded;
      const size = formatBytes(outcome.file.sizeBytes);
      const message = `${describeCrash(facts.manifest)}; core dump of ${size} stored at ${location}`;
      tell(facts, { reason: "CoreDumped", message, count: 1 + (facts.manifest.suppressed?.count ?? 0) });
    },
    vacuumed: ({ facts, sizeBytes, kind }) => {
      if (facts === undefined || kind === "uploaded") return;
      const message = `${describeCrash(facts.manifest)}; its core dump of ${formatBytes(sizeBytes)} was removed from the node to make room before it was uploaded`;
      tell(facts, { reason: "CoreDumpLost", message, count: 1 });
    },
  };
}

async function writeEvent(
  access: KubernetesAccess,
  notice: CrashNotice,
  { clock, nodeName }: { clock: Clock; nodeName: string | undefined },
): Promise<KubernetesAnswer> {
  const { name, namespace, message } = notice;
  const path = `/api/v1/namespaces/${namespace}/events`;
  const now = toRfc3339(clock.now()).replace(/\.\d+Z$/, "Z");
  const there = await askKubernetes(access, "GET", `${path}/${name}`);
  if (there.status === 200) {
    const count = notice.count + countOf(there.body);
    return await askKubernetes(access, "PATCH", `${path}/${name}`, { count, lastTimestamp: now, message });
  }
  if (there.status !== 404) return there;
  return await askKubernetes(access, "POST", path, {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace },
    involvedObject: {
      apiVersion: "v1",
      kind: "Pod",
      namespace,
      name: notice.podName,
      ...(notice.podUid === undefined ? {} : { uid: notice.podUid }),
      ...(notice.containerName === undefined ? {} : { fieldPath: `spec.containers{${notice.containerName}}` }),
    },
    type: "Warning",
    reason: notice.reason,
    message,
    count: notice.count,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: "core-dump-handler", ...(nodeName === undefined ? {} : { host: nodeName }) },
  });
}

/** Name the Event after what repeats: pod, container, executable, signal. */
function eventName({ manifest }: BundleFacts, reason: CrashNotice["reason"]): string {
  const { pod, container, process, signal } = manifest;
  const what = JSON.stringify([
    pod?.uid ?? pod?.name,
    container?.name,
    process.exe ?? process.comm,
    signal.number,
    reason,
  ]);
  const hash = createHash("sha256").update(what).digest("hex").slice(0, 16);
  // A pod's name is a valid name already; 253 bytes are allowed.
  const base = (pod?.name ?? "pod").replaceAll(/[^a-z0-9.-]/g, "-").slice(0, 200);
  return `${base}.${hash}`;
}

function describeCrash(manifest: Manifest): string {
  const { process, signal, container } = manifest;
  const who = process.exe ?? process.comm ?? "a process";
  const why = `${signal.name === "" ? "a signal" : signal.name}${signal.codeName === undefined ? "" : ` (${signal.codeName})`}`;
  const where = container?.name === undefined ? "" : ` in container ${container.name}`;
  return `${who} (pid ${process.pidInNamespace ?? process.pid ?? "unknown"})${where} crashed with ${why}`;
}

function countOf(event: unknown): number {
  const count = typeof event === "object" && event !== null && "count" in event ? event.count : undefined;
  return typeof count === "number" && count > 0 ? count : 1;
}

/** What the API server says about a refusal. */
function messageOf(status: unknown): string | undefined {
  const message = typeof status === "object" && status !== null && "message" in status ? status.message : undefined;
  return typeof message === "string" ? message : undefined;
}
