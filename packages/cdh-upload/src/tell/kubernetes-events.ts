import { createHash } from "node:crypto";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { toRfc3339, type Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { formatBytes } from "@cdh/core/units";
import type { BundleFacts } from "../queue/bundle-facts.ts";
import { HOST_NAMESPACE, podOf } from "../queue/bundle-facts.ts";
import { EventBudget } from "./event-budget.ts";
import { describeCrash, describeStored, joinEventText, type EventText } from "./event-text.ts";
import type { Talker } from "./events.ts";
import { Outbox } from "./outbox.ts";

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
  reason: "CoreDumped" | "CoreDumpLost" | "CoreDumpWaits";
  message: string;
  /** Crashes that this one stands for. */
  count: number;
}

/**
 * Write an Event on each pod whose core reached the store, whose core waits for a store of its namespace that is in
 * trouble, and whose core was given up. The same process that
 * crashes again with the same signal raises the count of one Event, as the kubelet does for its own, and each pod has a
 * budget of Events.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
 */
export function writeKubernetesEvents(
  access: KubernetesAccess,
  options: { clock: Clock; log: Logger; nodeName: string | undefined; hasApi: boolean },
): Talker {
  const { clock, log } = options;
  const budget = new EventBudget(clock);
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
  const tell = (facts: BundleFacts, said: Pick<CrashNotice, "reason" | "count"> & { text: EventText }): void => {
    const { pod, container } = facts.manifest;
    if (facts.namespace === HOST_NAMESPACE || pod?.name === undefined) return;
    const name = eventName(facts, said.reason);
    const grant = budget.ask(`${facts.namespace} ${podOf(facts.manifest)}`, said.reason, name, said.count);
    if (grant.status === "refused") {
      log.debug("too many Events of one pod; the crash is counted in the next", {
        namespace: facts.namespace,
        pod: pod.name,
      });
      return;
    }
    const { begin, end } = said.text;
    outbox.add({
      reason: said.reason,
      count: said.count + grant.held,
      message: joinEventText({ begin: grant.combined ? `(combined from similar events): ${begin}` : begin, end }),
      namespace: facts.namespace,
      podName: pod.name,
      podUid: pod.uid,
      containerName: container?.name,
      name: grant.combined ? combinedName(facts, said.reason) : name,
    });
  };
  return {
    settle: () => outbox.settle(),
    close: () => outbox.close(),
    ended: (outcome) => {
      if (outcome.status === "retried" && outcome.waiting !== undefined) {
        const { facts, store } = outcome.waiting;
        const size = formatBytes(outcome.file.sizeBytes);
        const end = `; its core dump of ${size} waits on the node, because the store of this namespace, ${store}, is in trouble: ${reasonOf(outcome.error)}`;
        tell(facts, { reason: "CoreDumpWaits", text: { begin: describeCrash(facts.manifest), end }, count: 1 });
      }
      if (outcome.status !== "uploaded") return;
      const { facts, location } = outcome.uploaded;
      // The next bundle of the workload tells how many there were.
      if (facts.manifest.counted !== undefined) return;
      const { sizeBytes } = outcome.file;
      const text = describeStored(facts.manifest, { sizeBytes, location, hasApi: options.hasApi });
      tell(facts, { reason: "CoreDumped", text, count: 1 + (facts.manifest.suppressed?.count ?? 0) });
    },
    vacuumed: ({ facts, sizeBytes, kind }) => {
      if (facts === undefined || kind === "uploaded") return;
      const end = `; its core dump of ${formatBytes(sizeBytes)} was removed from the node to make room before it was uploaded`;
      tell(facts, { reason: "CoreDumpLost", text: { begin: describeCrash(facts.manifest), end }, count: 1 });
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
  return nameOf(pod, [pod?.uid ?? pod?.name, container?.name, process.exe ?? process.comm, signal.number, reason]);
}

/** Name the Event that stands for all further crashes of a pod. */
function combinedName({ manifest: { pod } }: BundleFacts, reason: CrashNotice["reason"]): string {
  return nameOf(pod, [pod?.uid ?? pod?.name, "combined", reason]);
}

function nameOf(pod: Manifest["pod"], what: unknown[]): string {
  const hash = createHash("sha256").update(JSON.stringify(what)).digest("hex").slice(0, 16);
  // A pod's name is a valid name already; 253 bytes are allowed.
  const base = (pod?.name ?? "pod").replaceAll(/[^a-z0-9.-]/g, "-").slice(0, 200);
  return `${base}.${hash}`;
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
