import { createHash } from "node:crypto";
import { Alarm } from "@cdh/core/async/alarm";
import { toRfc3339, type Clock } from "@cdh/core/clock";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { Groups } from "./groups.ts";

/** What happened longer ago is no news: after a start everything that the store holds is new to this replica. */
const FRESH_MS = 10 * 60_000;
/** Crashes that wait to be looked at. */
const WAITING_MAX = 1000;
/** Bugs and images that were told; the API server refuses a second Event of one name anyway. */
const TOLD_MAX = 10_000;
/** Events of a namespace within an hour: names are the crashed programs' choice. */
const BUDGET = 30;
const HOUR_MS = 3600e3;
/** What was counted meanwhile is told together. */
const PAUSE_MS = 1000;
const MESSAGE_MAX = 900;

/** Kinds of workloads that an Event can be about, and where they are. */
const KINDS: Readonly<Record<string, { api: string; plural: string }>> = {
  Deployment: { api: "apps/v1", plural: "deployments" },
  StatefulSet: { api: "apps/v1", plural: "statefulsets" },
  DaemonSet: { api: "apps/v1", plural: "daemonsets" },
  ReplicaSet: { api: "apps/v1", plural: "replicasets" },
  Job: { api: "batch/v1", plural: "jobs" },
  CronJob: { api: "batch/v1", plural: "cronjobs" },
};

/** What telling needs. */
export interface NewBugEventsOptions {
  access: KubernetesAccess;
  groups: () => Groups;
  clock: Clock;
  log: Logger;
  /** Whether all dumps are known: before, every bug seems to be new. */
  isListed: () => boolean;
}

/**
 * Write an Event on the workload when a bug is new in the version that it runs: the first crash of a group in an image. Each
 * replica tries; the Event's name is made of group, workload and image, so that the API server takes one.
 * @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
 */
export class NewBugEvents {
  readonly #options: NewBugEventsOptions;
  readonly #alarm = new Alarm();
  readonly #waiting: DumpRecord[] = [];
  readonly #told = new Set<string>();
  readonly #budgets = new Map<string, number>();
  #budgetFrom = Number.NEGATIVE_INFINITY;
  #refusedWith: number | undefined;

  constructor(options: NewBugEventsOptions) {
    this.#options = options;
  }

  /** Note a crash that is new. */
  follow({ before, after }: Change): void {
    if (before !== undefined || after === undefined || this.#waiting.length >= WAITING_MAX) return;
    const { ownerName, imageRef, podNamespace, namespace, crashedAt } = after;
    // Only what is proven to be of this namespace is told there.
    if (ownerName === undefined || imageRef === undefined || podNamespace !== namespace) return;
    if (crashedAt < this.#options.clock.now() - FRESH_MS) return;
    this.#waiting.push(after);
    this.#alarm.ring();
  }

  /** Tell until told to stop. */
  async run(stopSignal: AbortSignal): Promise<void> {
    const { clock, isListed } = this.#options;
    while (!stopSignal.aborted) {
      if (this.#waiting.length === 0) await this.#alarm.wait({ signal: stopSignal });
      await clock.sleep(PAUSE_MS, stopSignal).catch(() => {});
      if (!isListed()) continue;
      for (const record of this.#waiting.splice(0)) {
        if (stopSignal.aborted) return;
        await this.#consider(record);
      }
    }
  }

  async #consider(record: DumpRecord): Promise<void> {
    const { clock } = this.#options;
    const notice = this.#noticeOf(record);
    if (notice === undefined || this.#told.has(notice.name)) return;
    if (clock.monotonic() - this.#budgetFrom >= HOUR_MS) {
      this.#budgets.clear();
      this.#budgetFrom = clock.monotonic();
    }
    const used = this.#budgets.get(record.namespace) ?? 0;
    if (used >= BUDGET) return;
    this.#budgets.set(record.namespace, used + 1);
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(notice.name);
    const answer = await this.#write(notice);
    // Another replica was there before.
    if (answer === undefined || answer.status === 409 || (answer.status >= 200 && answer.status < 300)) return;
    // The next crash of it tries again.
    this.#told.delete(notice.name);
    this.#complain(notice, answer);
  }

  #noticeOf(record: DumpRecord): Notice | undefined {
    const { groups, clock } = this.#options;
    const { index, states } = groups();
    const { namespace, ownerKind = "", ownerName = "", imageRef = "" } = record;
    const id = index.idOf(record);
    const group = id === undefined ? undefined : index.find(namespace, id);
    if (group === undefined || states.of(namespace, group.id)?.state === "muted") return undefined;
    const seen = group.tally.seenImage(imageRef);
    if (seen === undefined || seen.first * 1000 < clock.now() - FRESH_MS) return undefined;
    const hash = createHash("sha256").update(JSON.stringify([group.id, ownerKind, ownerName, imageRef]));
    const base = ownerName.replaceAll(/[^a-z0-9.-]/g, "-").slice(0, 200);
    return {
      namespace,
      name: `${base}.${hash.digest("hex").slice(0, 16)}`,
      kind: ownerKind,
      workload: ownerName,
      message: messageOf(record, group.id),
    };
  }

  /** @returns undefined when there is no such workload */
  async #write({ namespace, name, kind, workload, message }: Notice): Promise<KubernetesAnswer | undefined> {
    const { access, clock } = this.#options;
    const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
    if (known === undefined) return undefined;
    const path = `/apis/${known.api}/namespaces/${namespace}/${known.plural}/${encodeURIComponent(workload)}`;
    const there = await askKubernetes(access, "GET", path);
    if (there.status !== 200) return there.status === 404 ? undefined : there;
    const { uid } = (there.body as { metadata?: { uid?: string } } | undefined)?.metadata ?? {};
    const now = toRfc3339(clock.now()).replace(/\.\d+Z$/, "Z");
    return await askKubernetes(access, "POST", `/api/v1/namespaces/${namespace}/events`, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      involvedObject: { apiVersion: known.api, kind, namespace, name: workload, ...(uid === undefined ? {} : { uid }) },
      type: "Warning",
      reason: "NewCrashGroup",
      message,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "core-dump-handler" },
    });
  }

  #complain({ namespace, workload }: Notice, { status, problem }: KubernetesAnswer): void {
    const { log } = this.#options;
    // A right that is missing is missing for each bug: said once.
    const say = this.#refusedWith === status ? log.debug : log.warn;
    this.#refusedWith = status;
    say("cannot write the Event of a new bug", {
      namespace,
      workload,
      httpStatus: status,
      ...(problem === undefined ? {} : { reason: problem }),
      ...([401, 403].includes(status)
        ? { hint: "the service account needs create on events and get on workloads; GROUP_EVENTS=false turns them off" }
        : {}),
    });
  }
}

/** What is said about a bug. */
interface Notice {
  namespace: string;
  name: string;
  kind: string;
  workload: string;
  message: string;
}

function messageOf({ summary, imageRef = "", namespace }: DumpRecord, id: string): string {
  const command = `; kubectl describe crashgroup -n ${namespace} ${id}`;
  const image = imageRef.slice(imageRef.lastIndexOf("/") + 1).slice(0, 100);
  const text = `New in ${image}: ${summary || "a crash without a stack"}`;
  return `${text.slice(0, MESSAGE_MAX - command.length)}${command}`;
}
