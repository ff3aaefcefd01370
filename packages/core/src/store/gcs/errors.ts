import { CdhError } from "../../base/errors.ts";
import { JsonRefused } from "../../base/json.ts";
import { explainStatus, firstLine, OTHER_CONTENT, StoreFailure, type Explanation } from "../explanation.ts";
import { explainNetwork } from "../network-errors.ts";
import { GcsError } from "./http.ts";
import { TokenError } from "./tokens.ts";

const ROLE_HINT =
  'give the identity the role "Storage Object User" (roles/storage.objectUser) on the bucket, and "Service Account Token Creator" on itself for links';

/** What Google's reasons mean for the reader. @see https://cloud.google.com/storage/docs/json_api/v1/status-codes */
const EXPLANATIONS: Record<string, Explanation> = {
  authError: {
    code: "CDH_STORE_DENIED",
    reason: "the token is not accepted",
    hint: "check the credentials and this node's clock",
  },
  required: { code: "CDH_STORE_DENIED", reason: "the bucket wants credentials" },
  forbidden: { code: "CDH_STORE_DENIED", reason: "the identity lacks the right", hint: ROLE_HINT },
  insufficientPermissions: {
    code: "CDH_STORE_DENIED",
    reason: "the token lacks the scope",
    hint: "the node pool's access scopes must let storage be written",
  },
  accountDisabled: { code: "CDH_STORE_DENIED", reason: "the project's billing is off" },
  retentionPolicyNotMet: {
    code: "CDH_STORE_CONFLICT",
    reason: "the bucket's retention policy protects what lies there",
    hint: "it can be deleted or replaced once its time is over",
  },
  objectUnderActiveHold: {
    code: "CDH_STORE_CONFLICT",
    reason: "a hold protects what lies there",
    hint: "it can be deleted or replaced once the hold is taken off",
  },
  conditionNotMet: OTHER_CONTENT,
  rateLimitExceeded: { code: "CDH_STORE", reason: "the store asks to slow down" },
  userRateLimitExceeded: { code: "CDH_STORE", reason: "the store asks to slow down" },
  backendError: { code: "CDH_STORE", reason: "the store failed inside" },
  internalError: { code: "CDH_STORE", reason: "the store failed inside" },
  uploadTooLarge: { code: "CDH_STORE_REFUSED", reason: "the store does not take objects of this size" },
};

const NO_BUCKET: Explanation = {
  code: "CDH_STORE",
  reason: "the bucket does not exist",
  hint: "create the bucket, or correct STORE_URL",
};

/** Google has the same reason, `forbidden`, for a key that its own service agent may not use. */
const KEY_DENIED: Explanation = {
  code: "CDH_STORE_DENIED",
  reason: "Cloud Storage may not use the encryption key",
  hint: "let Cloud Storage's service agent use GCS_KMS_KEY, or the bucket's default key: gcloud storage service-agent --authorize-cmek=KEY",
};

/** Tell whether the error only says that there is no such object. Google has one reason for objects and buckets. */
export function isMissingObject(error: unknown): boolean {
  return error instanceof GcsError && error.httpStatus === 404 && !isMissingBucket(error);
}

/** Tell whether the error says that the range lies behind the end. */
export function isBeyondEnd(error: unknown): boolean {
  return error instanceof GcsError && error.httpStatus === 416;
}

function isMissingBucket({ httpStatus, message, reason }: GcsError): boolean {
  return httpStatus === 404 && (reason === "NoSuchBucket" || /bucket does not exist/i.test(message));
}

/**
 * Translate what was thrown into an error that the reader can act on.
 * @param what what was tried: `store team-a/x.zip`
 * @param where the store's URL
 */
export function toStoreError(error: unknown, what: string, where: string): unknown {
  if (error instanceof CdhError) return error;
  const about = error instanceof GcsError ? { gcsReason: error.reason, httpStatus: error.httpStatus } : {};
  const failure = new StoreFailure(error, { what, where }, about);
  if (error instanceof GcsError) return failure.explained(explainAnswer(error));
  if (error instanceof TokenError) return failure.explained(explainNoToken(error));
  const unreachable = failure.unreachable();
  if (unreachable !== undefined) return unreachable;
  if (error instanceof SyntaxError || error instanceof JsonRefused)
    return failure.explained({ code: "CDH_STORE", reason: "the answer is not Google's" });
  return error;
}

function explainAnswer(error: GcsError): Explanation {
  const { httpStatus: status, message, reason } = error;
  if (isMissingBucket(error)) return NO_BUCKET;
  if (status === 412) return OTHER_CONTENT;
  if (status === 400 && /(MD5|CRC32C)\b.*(match|hash)/i.test(message))
    return { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" };
  if (status === 403 && /Cloud KMS key/i.test(message)) return KEY_DENIED;
  const known = reason === undefined ? undefined : EXPLANATIONS[reason];
  if (known !== undefined) return known;
  return explainStatus(status, { code: reason, message }, ROLE_HINT);
}

/** What the library says when there was no answer, whatever the cause: a proxy that ends the connection has no code. */
const NO_ANSWER = /^request to \S+ failed, reason: /;

/** The library's errors are plain ones, the network's, or answers of a service that gives tokens. */
function explainNoToken({ cause, message, metadataStatus }: TokenError): Explanation {
  // 200: it answers again; the next attempt has its token.
  if (metadataStatus !== undefined && (metadataStatus >= 500 || [200, 429].includes(metadataStatus)))
    return {
      code: "CDH_STORE_UNREACHABLE",
      reason: `no token (the metadata service answers HTTP ${metadataStatus})`,
      hint: "the service that gives tokens is in trouble; it is asked again",
    };
  const { status } = (cause ?? {}) as { status?: unknown };
  if (
    explainNetwork(cause) !== undefined ||
    NO_ANSWER.test(message) ||
    (typeof status === "number" && (status >= 500 || status === 429))
  )
    return {
      code: "CDH_STORE_UNREACHABLE",
      reason: `no token (${firstLine(message)})`,
      hint: "the service that gives tokens is in trouble, or out of reach",
    };
  return {
    code: "CDH_STORE_DENIED",
    reason: `no credentials (${firstLine(message)})`,
    hint: "bind the pod's service account to one of Google's (workload identity), or set GOOGLE_APPLICATION_CREDENTIALS to a key file",
  };
}

/** Tell whether the same request, sent again a moment later, may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof CdhError)) return false;
  if (error.code === "CDH_STORE_UNREACHABLE" || error.code === "CDH_STORE_MISMATCH") return true;
  if (error.code !== "CDH_STORE") return false;
  const { httpStatus: status } = error.details;
  // 410: the service forgot an upload in the middle; 308 in place of an end: it kept less than it was sent.
  return typeof status === "number" && (status >= 500 || [308, 408, 410, 429].includes(status));
}
