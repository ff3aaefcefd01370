import type { Clock } from "../../base/clock.ts";
import { CdhError, reasonOf } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { CheckedAccess } from "../store.ts";
import type { GcsBucket } from "./bucket.ts";

/** The right to see a bucket's settings: no role that only writes objects holds it. */
const RIGHT = "storage.buckets.get";

/** The settings of a bucket that are told. */
const FIELDS = "iamConfiguration,retentionPolicy,softDeletePolicy";

/** A bucket is asked again after this: somebody may have changed its settings. */
const AGAIN_MS = 10 * 60_000;

/**
 * Refuse to put cores where ACLs may let others read them: a bucket whose uniform access is off. Where the identity may not look, or the service does not
 * answer, nothing is refused.
 */
export class AclGuard {
  readonly #bucket: GcsBucket;
  readonly #clock: Clock;
  #looked: { access: Promise<CheckedAccess>; at: number } | undefined;

  constructor(bucket: GcsBucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** @throws {CdhError} CDH_STORE where uniform access is off; the signal's reason */
  async mayPut(what: string, signal: AbortSignal | undefined): Promise<void> {
    const now = this.#clock.monotonic();
    // Puts at one time share a look; whose signal began it must not end it for the others.
    if (this.#looked === undefined || now - this.#looked.at >= AGAIN_MS)
      this.#looked = { access: checkUniformAccess(this.#bucket, undefined, 1), at: now };
    const { result, detail, hint = "" } = await this.#looked.access;
    signal?.throwIfAborted();
    if (result !== "warning") return;
    // It may be mended at any time, and bundles wait for that.
    this.#looked = undefined;
    throw new CdhError("CDH_STORE", `cannot ${what} in ${this.#bucket.url}: ${detail}`, {
      hint: `${hint}; or say GCS_ACLS=allow`,
    });
  }
}

/**
 * Look whether the bucket has uniform access, and how long it keeps what is deleted. Without it each object has a list of readers of its own (ACL), made from the
 * bucket's default list when the object is written: who may read a core is then said in two places.
 * @see https://cloud.google.com/storage/docs/uniform-bucket-level-access
 * @throws the signal's reason only
 */
export async function checkUniformAccess(
  bucket: GcsBucket,
  signal: AbortSignal | undefined,
  attempts?: number,
): Promise<CheckedAccess> {
  const { serviceUrl, bucket: name } = bucket.target;
  const url = `${serviceUrl}/storage/v1/b/${encodeURIComponent(name)}?fields=${FIELDS}`;
  try {
    const { value } = await bucket.requests.send(
      ({ abortSignal }) => bucket.http.json({ method: "GET", url, abortSignal }),
      { what: "look at the bucket's settings", signal, ...(attempts === undefined ? {} : { attempts }) },
    );
    const access = judge(name, value["iamConfiguration"]);
    return { ...access, detail: [access.detail, ...keptFor(value)].join("; ") };
  } catch (error) {
    signal?.throwIfAborted();
    return { result: "unknown", right: RIGHT, detail: `not known whether access is uniform: ${reasonOf(error)}` };
  }
}

function judge(name: string, configuration: unknown): CheckedAccess {
  const uniform = (configuration as { uniformBucketLevelAccess?: { enabled?: unknown } } | undefined | null)
    ?.uniformBucketLevelAccess?.enabled;
  if (uniform === true) return { result: "ok", right: RIGHT, detail: "uniform access: IAM alone says who may read" };
  if (uniform !== false)
    return { result: "unknown", right: RIGHT, detail: "not known whether access is uniform: the answer does not say" };
  return {
    result: "warning",
    right: RIGHT,
    detail: "uniform access is off: ACLs of the bucket and of each object may let others read cores",
    hint: `turn it on: gcloud storage buckets update gs://${name} --uniform-bucket-level-access`,
  };
}

/**
 * Say for how long the bucket keeps objects whatever is asked of it: what retention removes costs money until then.
 * @see https://cloud.google.com/storage/docs/soft-delete @see https://cloud.google.com/storage/docs/bucket-lock
 */
function keptFor({ retentionPolicy, softDeletePolicy }: Record<string, unknown>): string[] {
  const retentionMs = millisecondsOf(retentionPolicy, "retentionPeriod");
  const softMs = millisecondsOf(softDeletePolicy, "retentionDurationSeconds");
  return [
    ...(retentionMs > 0 ? [`a retention policy lets nothing be deleted for ${formatDuration(retentionMs)}`] : []),
    ...(softMs > 0 ? [`what is deleted is kept, and paid for, ${formatDuration(softMs)} more (soft delete)`] : []),
  ];
}

/** Google writes seconds as a text of digits. */
function millisecondsOf(policy: unknown, field: string): number {
  const seconds = (policy as Record<string, unknown> | undefined | null)?.[field];
  return typeof seconds === "string" && /^\d{1,11}$/.test(seconds) ? Number(seconds) * 1000 : 0;
}
