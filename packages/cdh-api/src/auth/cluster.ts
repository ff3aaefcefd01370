import { tryRecord } from "@cdh/core/base/records";
import { askKubernetes, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import { unavailable } from "../http/api-error.ts";
import { FairQueue } from "../http/fair-queue.ts";
import { Gate } from "../http/gate.ts";

/** Reviews of one kind that are on their way to the API server at the same time; and with those that wait for it. */
const ASKED_MAX = 16;
const REVIEWS_MAX = 256;

/** What is reviewed: tokens for strangers, rights for callers who are known. Neither takes the other's room. */
export type ReviewKind = "tokens" | "rights";

/** Ask the cluster's API server about tokens and rights; bounded, so that nobody can make us flood it. */
export class Cluster {
  readonly #access: KubernetesAccess;
  readonly #rooms = { tokens: room(), rights: room() };

  constructor(access: KubernetesAccess) {
    this.#access = access;
  }

  /** Read an object for this server itself: no client's question keeps it waiting. */
  async read(path: string): Promise<KubernetesAnswer> {
    return await askKubernetes(this.#access, "GET", path);
  }

  /**
   * Create a review and give its status.
   * @param share for whom: see `shareOf`, or the address of somebody who is not known yet
   * @throws {ApiError} 429 when too many reviews wait; 503 when the API server gives none: then nobody is let in
   */
  async review(kind: ReviewKind, share: string, path: string, body: unknown): Promise<Record<string, unknown>> {
    const { gate, queue } = this.#rooms[kind];
    const answer = await gate.run(share, () => queue.run(share, () => askKubernetes(this.#access, "POST", path, body)));
    const status = tryRecord(tryRecord(answer.body)?.["status"]);
    if ((answer.status !== 201 && answer.status !== 200) || status === undefined) {
      const why = answer.problem ?? `status ${answer.status}`;
      throw unavailable(`the cluster's API server cannot be asked about rights (${why})`);
    }
    return status;
  }
}

function room(): { gate: Gate; queue: FairQueue } {
  return {
    gate: new Gate(REVIEWS_MAX, "requests that wait for the cluster's API server"),
    queue: new FairQueue(ASKED_MAX),
  };
}

/** Take the texts of a JSON list. */
export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}
