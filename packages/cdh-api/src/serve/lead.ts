import type { Clock } from "@cdh/core/clock";
import { readOwnNamespace, type KubernetesAccess } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import { LeaseElector } from "../retention/lease.ts";
import type { LeaderWork } from "../retention/service.ts";
import type { RetentionSettings } from "../retention/settings.ts";

/** What leading needs. */
export interface LeadOptions {
  works: readonly (LeaderWork | undefined)[];
  settings: Pick<RetentionSettings, "leaseName" | "leaseDurationMs">;
  access: KubernetesAccess;
  /** Unique among the replicas: the pod's name. */
  identity: string;
  clock: Clock;
  log: Logger;
  stopSignal: AbortSignal;
}

/** Do what one replica alone may do, whenever this is the one, until told to stop: one Lease decides for all of it. */
export async function lead({ works, settings, access, identity, clock, log, stopSignal }: LeadOptions): Promise<void> {
  const wanted = works.filter((work) => work !== undefined);
  if (wanted.length === 0) return;
  const elector = new LeaseElector({
    access,
    namespace: readOwnNamespace(access) ?? "default",
    name: settings.leaseName,
    identity,
    durationMs: settings.leaseDurationMs,
    clock,
    log: log.child({ part: "lease" }),
    onChange: (leads) => {
      for (const work of wanted) work.onChange(leads);
    },
  });
  await elector.run(async (signal) => {
    // Where one of them ends by an error, the others end with it.
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    const running = wanted.map((work) =>
      work.run(either).catch((error: unknown) => {
        failure.abort();
        throw error;
      }),
    );
    const results = await Promise.allSettled(running);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }, stopSignal);
}
