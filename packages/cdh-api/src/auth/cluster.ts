import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import { Semaphore } from "@cdh/core/store/semaphore";
import { tooManyRequests, unavailable } from "../kube/api-error.ts";

/** Questions that are on their way to the API server at the same time, and those that wait for it. */
const ASKED_MAX = 32;
const WAITING_MAX = 512;

/** Ask the cluster's API server about tokens and rights; bounded, so that nobody can make us flood it. */
export class Cluster {
  readonly #access: KubernetesAccess;
  readonly #permits = new Semaphore(ASKED_MAX);
  #waiting = 0;

  constructor(access: KubernetesAccess) {
    this.#access = access;
  }

  /** @throws {ApiError} 429 when too many questions wait */
  async ask(method: "GET" | "POST", path: string, body?: unknown): Promise<KubernetesAnswer> {
    if (this.#waiting >= WAITING_MAX) throw tooManyRequests("too many requests wait for the cluster's API server");
    this.#waiting += 1;
    try {
      return await this.#permits.run(() => askKubernetes(this.#access, method, path, body));
    } finally {
      this.#waiting -= 1;
    }
  }

  /**
   * Create a review and give its status.
   * @throws {ApiError} 503 when the API server gives none: then nobody is let in
   */
  async review(path: string, body: unknown): Promise<Record<string, unknown>> {
    const answer = await this.ask("POST", path, body);
    const status = tryRecord(tryRecord(answer.body)?.["status"]);
    if ((answer.status !== 201 && answer.status !== 200) || status === undefined) {
      const why = answer.problem ?? `status ${answer.status}`;
      throw unavailable(`the cluster's API server cannot be asked about rights (${why})`);
    }
    return status;
  }
}

/** Take a value as a JSON object; undefined when it is none. */
export function tryRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** Take the texts of a JSON list. */
export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
