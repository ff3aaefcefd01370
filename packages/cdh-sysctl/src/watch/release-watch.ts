import type { Clock } from "@cdh/core/clock";
import { digText } from "@cdh/core/container/json";
import { parseJson } from "@cdh/core/json";
import { watchKubernetes, type KubernetesAccess } from "@cdh/core/kubernetes";

/** A server ends a watch after so long, and we begin the next: a connection that died is noticed by then. */
const WATCH_SECONDS = 300;
const LONGEST_WATCH_MS = 330_000;
const RETRY_MS = 5_000;
/** A watch that was refused is asked for again seldom: the right does not come by itself. */
const REFUSED_RETRY_MS = 60_000;

/** What is known of the release that this pod belongs to. */
export interface ReleaseFacts {
  /** True once the API server said that the release's RoleBinding was deleted, and nobody has made it again. */
  readonly bindingDeleted: boolean;
}

/** What a ReleaseWatch needs. */
export interface ReleaseWatchOptions {
  namespace: string;
  roleBinding: string;
  clock: Clock;
  /** Told why the API server does not let us watch, once for each reason in a row. */
  onProblem: (problem: string) => void;
}

/**
 * Watch the RoleBinding that belongs to this release. An uninstall deletes it together with the service account, and
 * after that nobody answers questions any more; but a watch that is open already is told. A service account that is renamed
 * by an upgrade leaves the binding where it is. A RoleBinding has no status, so these watches are silent.
 */
export class ReleaseWatch implements ReleaseFacts {
  readonly #stop = new AbortController();
  readonly #onProblem: (problem: string) => void;
  #problem: string | undefined;
  bindingDeleted = false;

  constructor(access: KubernetesAccess, options: ReleaseWatchOptions) {
    const { namespace, roleBinding, clock } = options;
    this.#onProblem = options.onProblem;
    const query = new URLSearchParams({
      watch: "1",
      fieldSelector: `metadata.name=${roleBinding}`,
      timeoutSeconds: String(WATCH_SECONDS),
      // From what the API server has in memory: the newest state needs an answer of etcd's first, which not every etcd gives.
      resourceVersion: "0",
    });
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/rolebindings?${query}`;
    void this.#run(access, path, clock);
  }

  close(): void {
    this.#stop.abort();
  }

  async #run(access: KubernetesAccess, path: string, clock: Clock): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const ends = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_WATCH_MS)]);
      const status = await watchKubernetes(access, path, (line) => this.#take(line), ends);
      if (status !== 200 && status !== 0) this.#tell(`the API server said ${status}`);
      await clock.sleep(status === 200 || status === 0 ? RETRY_MS : REFUSED_RETRY_MS, signal).catch(() => {});
    }
  }

  #take(line: string): void {
    try {
      const event = parseJson(line);
      const type = digText(event, "type");
      if (type === "ERROR") this.#tell(digText(event, "object", "message") ?? "the API server ended the watch");
      else this.#problem = undefined;
      if (type === "DELETED") this.bindingDeleted = true;
      if (type === "ADDED" || type === "MODIFIED") this.bindingDeleted = false;
    } catch {
      // A line that was cut: the next watch begins with what there is.
    }
  }

  #tell(problem: string): void {
    if (problem !== this.#problem) this.#onProblem(problem);
    this.#problem = problem;
  }
}
