import { toRfc3339, type Clock } from "@cdh/core/clock";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";

/** Say which Lease decides, and who asks. */
export interface LeaseOptions {
  access: KubernetesAccess;
  namespace: string;
  name: string;
  /** Unique among those who ask: the pod's name. */
  identity: string;
  /** How long a leader that went silent stays one; whole seconds. */
  durationMs: number;
  clock: Clock;
  log: Logger;
  /** Told whenever leadership begins or ends. */
  onChange?: (isLeader: boolean) => void;
}

interface LeaseSpec {
  holderIdentity?: string | null;
  leaseDurationSeconds?: number | null;
  acquireTime?: string | null;
  renewTime?: string | null;
  leaseTransitions?: number | null;
}

interface Lease {
  metadata?: { resourceVersion?: string };
  spec?: LeaseSpec;
}

/**
 * Lead while a Lease of `coordination.k8s.io/v1` says so, in the way of client-go: who finds it unchanged for its whole
 * duration, by its own monotonic clock, may take it; who cannot renew it gives up a third of the duration
 * before anybody else may take it. Every write names the version that it replaces, so of two writers one is refused.
 * @see https://kubernetes.io/docs/concepts/architecture/leases/
 */
export class LeaseElector {
  readonly #options: LeaseOptions;
  readonly #path: string;
  /** The Lease as last seen, and when this was first so. */
  #seen: { lease: Lease; sinceMonotonic: number } | undefined;
  #leads = false;
  #problem: string | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  /** Whether this one leads now. */
  get leads(): boolean {
    return this.#leads;
  }

  /**
   * Do the work whenever the Lease is ours, until told to stop. The work's signal is aborted as soon as it is not: it
   * must end then.
   */
  async run(work: (signal: AbortSignal) => Promise<void>, stop: AbortSignal): Promise<void> {
    const { clock, durationMs, log, identity } = this.#options;
    const retryMs = durationMs / 6;
    while (!stop.aborted) {
      const asked = clock.monotonic();
      if (!(await this.#tryAcquire())) {
        await clock.sleep(retryMs * (0.8 + 0.4 * Math.random()), stop).catch(() => {});
        continue;
      }
      log.info("leading", { identity });
      this.#change(true);
      try {
        await this.#lead(work, asked, stop);
      } finally {
        this.#change(false);
        log.info("no longer leading", { identity });
      }
    }
    await this.#release();
  }

  /** Work and renew, until stopped or until the Lease is lost. */
  async #lead(work: (signal: AbortSignal) => Promise<void>, acquiredAt: number, stop: AbortSignal): Promise<void> {
    const { clock, durationMs, log } = this.#options;
    const lost = new AbortController();
    const signal = AbortSignal.any([stop, lost.signal]);
    const renewWithinMs = (durationMs * 2) / 3;
    let renewedAt = acquiredAt;
    const lose = (why: string): void => {
      if (signal.aborted) return;
      log.warn("lost the lease", { reason: why });
      this.#change(false);
      lost.abort(new Error(`lost the lease: ${why}`));
    };
    const guard = async (): Promise<void> => {
      while (!signal.aborted) {
        const leftMs = renewedAt + renewWithinMs - clock.monotonic();
        if (leftMs <= 0) lose(this.#problem ?? "it was not renewed in time");
        else await clock.sleep(leftMs, signal).catch(() => {});
      }
    };
    const renew = async (): Promise<void> => {
      while (!signal.aborted) {
        await clock.sleep(durationMs / 6, signal).catch(() => {});
        if (signal.aborted) return;
        const asked = clock.monotonic();
        const answer = await this.#renew();
        if (answer === "renewed") renewedAt = asked;
        else if (answer === "taken") lose("another one has it");
      }
    };
    const guarding = Promise.all([guard(), renew()]);
    try {
      await work(signal);
    } finally {
      // A work that ends by itself gives the Lease to whoever comes first.
      lost.abort(new Error("the work has ended"));
      await guarding;
    }
  }

  async #tryAcquire(): Promise<boolean> {
    const { namespace, name, identity, clock } = this.#options;
    const found = await this.#ask("GET", `${this.#path}/${name}`);
    if (found.status === 404) {
      const metadata = { name, namespace };
      const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: this.#spec(undefined) };
      return this.#took(await this.#ask("POST", this.#path, lease));
    }
    if (found.status !== 200) return false;
    const lease = (found.body ?? {}) as Lease;
    const isSame = this.#seen?.lease.metadata?.resourceVersion === lease.metadata?.resourceVersion;
    if (this.#seen === undefined || !isSame) this.#seen = { lease, sinceMonotonic: clock.monotonic() };
    const { holderIdentity, leaseDurationSeconds } = lease.spec ?? {};
    const isFree = (holderIdentity ?? "") === "" || holderIdentity === identity;
    const isOver = clock.monotonic() - this.#seen.sinceMonotonic > (leaseDurationSeconds ?? 15) * 1000;
    return isFree || isOver ? this.#took(await this.#write(lease, this.#spec(lease.spec))) : false;
  }

  async #renew(): Promise<"renewed" | "taken" | "unknown"> {
    const lease = this.#seen?.lease;
    if (lease === undefined) return "unknown";
    const answer = await this.#write(lease, this.#spec(lease.spec));
    if (this.#took(answer)) return "renewed";
    if (answer.status !== 409 && answer.status !== 404) return "unknown";
    // Somebody wrote it. Perhaps it was our own last request, whose answer got lost.
    const found = await this.#ask("GET", `${this.#path}/${this.#options.name}`);
    if (found.status === 404) return "taken";
    if (found.status !== 200) return "unknown";
    const now = (found.body ?? {}) as Lease;
    if (now.spec?.holderIdentity !== this.#options.identity) return "taken";
    this.#seen = { lease: now, sinceMonotonic: this.#options.clock.monotonic() };
    return "unknown";
  }

  /** Give it up, so that the next one need not wait. */
  async #release(): Promise<void> {
    const lease = this.#seen?.lease;
    if (lease?.spec?.holderIdentity !== this.#options.identity) return;
    await this.#write(lease, { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 });
  }

  #took(answer: KubernetesAnswer): boolean {
    if (answer.status < 200 || answer.status >= 300) return false;
    this.#seen = { lease: (answer.body ?? {}) as Lease, sinceMonotonic: this.#options.clock.monotonic() };
    return true;
  }

  #spec(before: LeaseSpec | undefined): LeaseSpec {
    const { identity, durationMs, clock } = this.#options;
    // Kubernetes' MicroTime takes exactly six digits.
    const now = toRfc3339(clock.now()).replace(/\.(\d{3})Z$/, ".$1000Z");
    const isOurs = before?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.ceil(durationMs / 1000)),
      acquireTime: (isOurs ? before.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: (before?.leaseTransitions ?? 0) + (isOurs || before === undefined ? 0 : 1),
    };
  }

  /** A merge patch that names the version it replaces is refused with 409 when that is not the last one any more. */
  async #write(lease: Lease, spec: LeaseSpec): Promise<KubernetesAnswer> {
    const { resourceVersion } = lease.metadata ?? {};
    if (resourceVersion === undefined) return { status: 0, body: undefined, problem: "the Lease has no version" };
    return await this.#ask("PATCH", `${this.#path}/${this.#options.name}`, { metadata: { resourceVersion }, spec });
  }

  async #ask(method: "GET" | "POST" | "PATCH", path: string, body?: unknown): Promise<KubernetesAnswer> {
    const answer = await askKubernetes(this.#options.access, method, path, body);
    const isWell = answer.status >= 200 && answer.status < 300;
    if (isWell || [404, 409].includes(answer.status)) this.#problem = undefined;
    else {
      const problem = answer.problem ?? `the API server answers ${answer.status}`;
      if (problem !== this.#problem) {
        this.#options.log.warn("cannot use the lease", {
          path: this.#path,
          method,
          httpStatus: answer.status,
          reason: problem,
        });
      }
      this.#problem = problem;
    }
    return answer;
  }

  #change(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    this.#options.onChange?.(leads);
  }
}
