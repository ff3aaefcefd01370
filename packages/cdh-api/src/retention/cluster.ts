import { CdhError } from "@cdh/core/errors";
import { askKubernetes, type KubernetesAccess } from "@cdh/core/kubernetes";
import { Semaphore } from "@cdh/core/store/semaphore";
import { podKey, type ClusterAnswers, type PodName } from "./gone.ts";

const ASKS_AT_ONCE = 8;
/** So many pods are asked for in one look; the others have their turn in the next ones and stay until then. */
const PODS_A_LOOK = 2000;

/** Ask the API server which namespaces and pods are still there. Only an answer that names what is missing counts. */
export class ClusterWatch {
  readonly #access: KubernetesAccess;
  /** In which look a pod was last asked for. */
  #asked = new Map<string, number>();
  #look = 0;

  constructor(access: KubernetesAccess) {
    this.#access = access;
  }

  /**
   * Ask for the namespaces of these pods and, if wanted, for the pods themselves, except those known to be gone.
   * @throws {CdhError} CDH_ENVIRONMENT when any question has no clear answer
   */
  async ask(
    pods: readonly PodName[],
    options: { askPods: boolean; isKnownGone: (pod: PodName) => boolean; signal: AbortSignal },
  ): Promise<ClusterAnswers> {
    const permits = new Semaphore(ASKS_AT_ONCE);
    const namespaces = new Map<string, "there" | "gone">();
    const said = new Map<string, "there" | "gone">();
    const names = [...new Set(pods.map(({ namespace }) => namespace))];
    await all(
      names.map((namespace) =>
        permits.run(async () => {
          options.signal.throwIfAborted();
          const found = await this.#find(`/api/v1/namespaces/${namespace}`, "namespaces", namespace);
          namespaces.set(namespace, found === undefined ? "gone" : "there");
        }),
      ),
    );
    if (!options.askPods) return { namespaces, pods: said };
    const open = pods.filter((pod) => namespaces.get(pod.namespace) === "there" && !options.isKnownGone(pod));
    await all(
      this.#choose(open).map((pod) =>
        permits.run(async () => {
          options.signal.throwIfAborted();
          const path = `/api/v1/namespaces/${pod.namespace}/pods/${encodeURIComponent(pod.name)}`;
          const found = await this.#find(path, "pods", pod.name);
          said.set(fullKey(pod), found !== undefined && isPod(found, pod.uid) ? "there" : "gone");
        }),
      ),
    );
    return { namespaces, pods: said };
  }

  /** Those that waited longest come first. */
  #choose(pods: readonly PodName[]): PodName[] {
    this.#look += 1;
    const waited = (pod: PodName): number => this.#asked.get(fullKey(pod)) ?? 0;
    const chosen = [...pods].sort((a, b) => waited(a) - waited(b)).slice(0, PODS_A_LOOK);
    const before = this.#asked;
    this.#asked = new Map(pods.map((pod) => [fullKey(pod), before.get(fullKey(pod)) ?? 0]));
    for (const pod of chosen) this.#asked.set(fullKey(pod), this.#look);
    return chosen;
  }

  /** @returns the metadata of what is there; undefined when the API server says that there is none */
  async #find(path: string, resource: string, name: string): Promise<Metadata | undefined> {
    const answer = await askKubernetes(this.#access, "GET", path);
    const body = answer.body as Answer | undefined | null;
    if (answer.status === 200 && body?.metadata?.name === name && typeof body.metadata.uid === "string") {
      return body.metadata;
    }
    // A proxy's 404 is no statement about a pod; the API server's names what it did not find.
    const isStatement = body?.kind === "Status" && body.reason === "NotFound" && body.details?.kind === resource;
    if (answer.status === 404 && isStatement && body.details?.name === name) return undefined;
    throw new CdhError("CDH_ENVIRONMENT", `cannot ask the API server for ${path}: ${whatWasSaid(answer)}`, {
      hint: answer.status === 403 ? `the service account needs "get" on ${resource}` : "nothing is removed meanwhile",
      details: { httpStatus: answer.status },
    });
  }
}

function fullKey(pod: PodName): string {
  return `${pod.namespace}/${podKey(pod)}`;
}

interface Metadata {
  name?: string;
  uid?: unknown;
  annotations?: Readonly<Record<string, unknown>> | null;
}

/**
 * Tell whether it is that very pod. The node knows a static pod by the hash of its file; its mirror has an UID of its
 * own and names the hash.
 * @see https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
 */
function isPod({ uid, annotations }: Metadata, wanted: string): boolean {
  return [uid, annotations?.["kubernetes.io/config.mirror"], annotations?.["kubernetes.io/config.hash"]].includes(
    wanted,
  );
}

interface Answer {
  kind?: string;
  reason?: string;
  metadata?: Metadata | null;
  details?: { kind?: string; name?: string };
}

function whatWasSaid({ status, problem }: { status: number; problem?: string }): string {
  return problem ?? `HTTP status ${status}`;
}

/** Wait for all, so that nothing goes on unseen, and then fail if one failed. */
async function all(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
