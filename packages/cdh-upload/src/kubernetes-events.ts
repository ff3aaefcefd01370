import { toRfc3339, type Clock } from "@cdh/core/clock";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { printable } from "@cdh/core/output";
import { formatBytes } from "@cdh/core/units";
import { createHash } from "node:crypto";
import type { BundleFacts } from "./bundle-facts.ts";
import { HOST_NAMESPACE } from "./bundle-facts.ts";
import type { UploadEvents } from "./events.ts";
import { Outbox } from "./outbox.ts";

/** The API server refuses longer messages. */
const MESSAGE_MAX = 1024;

/** What is said about a crash. */
interface CrashNotice {
  facts: BundleFacts;
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
): UploadEvents & { settle(): Promise<void> } {
  const outbox = new Outbox();
  const tell = (notice: CrashNotice): void => {
    if (notice.facts.namespace === HOST_NAMESPACE || notice.facts.manifest.pod?.name === undefined) return;
    outbox.add(async () => {
      const answer = await writeEvent(access, notice, options);
      if (answer.status >= 200 && answer.status < 300) return;
      const { namespace, manifest } = notice.facts;
      options.log.warn("cannot write the Event", {
        namespace,
        pod: manifest.pod?.name,
        httpStatus: answer.status,
        reason: answer.problem,
      });
    });
  };
  return {
    settle: () => outbox.settle(),
    ended: (outcome) => {
      if (outcome.status !== "uploaded") return;
      const { facts, location } = outcome.uploaded;
      const size = formatBytes(outcome.file.sizeBytes);
      const message = `${describeCrash(facts.manifest)}; core dump of ${size} stored at ${location}`;
      tell({ facts, reason: "CoreDumped", message, count: 1 + (facts.manifest.suppressed?.count ?? 0) });
    },
    vacuumed: ({ facts, sizeBytes, kind }) => {
      if (facts === undefined || kind === "uploaded") return;
      const message = `${describeCrash(facts.manifest)}; its core dump of ${formatBytes(sizeBytes)} was removed from the node to make room before it was uploaded`;
      tell({ facts, reason: "CoreDumpLost", message, count: 1 });
    },
  };
}

async function writeEvent(
  access: KubernetesAccess,
  notice: CrashNotice,
  { clock, nodeName }: { clock: Clock; nodeName: string | undefined },
): Promise<KubernetesAnswer> {
  const { facts, reason } = notice;
  const pod = facts.manifest.pod ?? {};
  const name = eventName(notice);
  const path = `/api/v1/namespaces/${facts.namespace}/events`;
  const now = toRfc3339(clock.now()).replace(/\.\d+Z$/, "Z");
  const message = printable(notice.message).slice(0, MESSAGE_MAX);
  const there = await askKubernetes(access, "GET", `${path}/${name}`);
  if (there.status === 200) {
    const count = notice.count + countOf(there.body);
    return await askKubernetes(access, "PATCH", `${path}/${name}`, { count, lastTimestamp: now, message });
  }
  if (there.status !== 404) return there;
  return await askKubernetes(access, "POST", path, {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name, namespace: facts.namespace },
    involvedObject: {
      apiVersion: "v1",
      kind: "Pod",
      namespace: facts.namespace,
      name: pod.name,
      ...(pod.uid === undefined ? {} : { uid: pod.uid }),
      ...(facts.manifest.container?.name === undefined
        ? {}
        : { fieldPath: `spec.containers{${facts.manifest.container.name}}` }),
    },
    type: "Warning",
    reason,
    message,
    count: notice.count,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: "core-dump-handler", ...(nodeName === undefined ? {} : { host: nodeName }) },
  });
}

/** Name the Event after what repeats: pod, container, executable, signal. */
function eventName({ facts, reason }: CrashNotice): string {
  const { pod, container, process, signal } = facts.manifest;
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
