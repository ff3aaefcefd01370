import { CdhError, reasonOf } from "../../base/errors.ts";
import { AnswerTooLong } from "../answers.ts";
import { explainStatus, OTHER_CONTENT, StoreFailure, type Explanation } from "../explanation.ts";

/** The parts of the SDK's errors that we look at. */
interface ServiceError {
  name?: string;
  Code?: string;
  message?: string;
  $metadata?: { httpStatusCode?: number; requestId?: string };
  $response?: { statusCode?: number; headers?: Record<string, string | undefined> };
  Region?: string;
}

const RIGHTS_HINT =
  "the credentials need s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket";

/** What S3's error codes mean for the reader. @see https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
const EXPLANATIONS: Record<string, Explanation> = {
  AccessDenied: {
    code: "CDH_STORE_DENIED",
    reason: "access denied",
    hint: RIGHTS_HINT,
  },
  AllAccessDisabled: { code: "CDH_STORE_DENIED", reason: "access to the bucket is disabled" },
  InvalidAccessKeyId: {
    code: "CDH_STORE_DENIED",
    reason: "the access key is unknown",
    hint: "check S3_ACCESS_KEY and the endpoint",
  },
  SignatureDoesNotMatch: {
    code: "CDH_STORE_DENIED",
    reason: "the signature does not match",
    hint: "check S3_SECRET and S3_REGION, and that no proxy rewrites the Host header",
  },
  ExpiredToken: {
    code: "CDH_STORE_DENIED",
    reason: "the credentials have expired",
    hint: "renew S3_SESSION_TOKEN and the keys",
  },
  InvalidToken: { code: "CDH_STORE_DENIED", reason: "the session token is invalid" },
  TokenRefreshRequired: { code: "CDH_STORE_DENIED", reason: "the session token must be renewed" },
  CredentialsProviderError: {
    code: "CDH_STORE_DENIED",
    reason: "no credentials found",
    hint: "set S3_ACCESS_KEY and S3_SECRET, or give the pod a role (IRSA, EKS Pod Identity) or the node an instance profile",
  },
  RequestTimeTooSkewed: {
    code: "CDH_STORE",
    reason: "the clocks differ too much",
    hint: "set this node's clock; is time synchronisation running?",
  },
  NoSuchBucket: {
    code: "CDH_STORE",
    reason: "the bucket does not exist",
    hint: "create the bucket, or correct S3_BUCKET_NAME or STORE_URL",
  },
  PermanentRedirect: {
    code: "CDH_STORE",
    reason: "the bucket is in another region",
    hint: "set S3_REGION to the bucket's region",
  },
  AuthorizationHeaderMalformed: {
    code: "CDH_STORE",
    reason: "the region is wrong",
    hint: "set S3_REGION to the bucket's region",
  },
  IllegalLocationConstraintException: {
    code: "CDH_STORE",
    reason: "the bucket is in another region",
    hint: "set S3_REGION",
  },
  RequestTimeout: { code: "CDH_STORE", reason: "the store waited too long for the body" },
  SlowDown: { code: "CDH_STORE", reason: "the store asks to slow down" },
  ServiceUnavailable: { code: "CDH_STORE", reason: "the store is unavailable" },
  InternalError: { code: "CDH_STORE", reason: "the store failed inside" },
  QuotaExceeded: { code: "CDH_STORE", reason: "the store's quota is used up", hint: "make room in the bucket" },
  XMinioStorageFull: { code: "CDH_STORE", reason: "the store is full", hint: "make room in the store" },
  PreconditionFailed: OTHER_CONTENT,
  ConditionalRequestConflict: { code: "CDH_STORE", reason: "another writer is at it" },
  BadDigest: { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" },
  XAmzContentSHA256Mismatch: { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" },
  XAmzContentChecksumMismatch: { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" },
  IncompleteBody: { code: "CDH_STORE_MISMATCH", reason: "not everything arrived" },
  InvalidPart: { code: "CDH_STORE_MISMATCH", reason: "the store lost a part" },
  InvalidPartOrder: { code: "CDH_STORE_MISMATCH", reason: "the store mixed up the parts" },
  NoSuchUpload: { code: "CDH_STORE_MISMATCH", reason: "the store forgot the upload" },
  EntityTooSmall: { code: "CDH_STORE_MISMATCH", reason: "the store says that a part is too small" },
  EntityTooLarge: { code: "CDH_STORE_REFUSED", reason: "the store does not take objects of this size" },
  KeyTooLongError: { code: "CDH_STORE_REFUSED", reason: "the store does not take keys of this length" },
  MetadataTooLarge: { code: "CDH_STORE_REFUSED", reason: "the store does not take so much metadata" },
};

/** Read S3's error code (`NoSuchKey`) and the HTTP status from whatever the SDK threw. */
export function readServiceError(error: unknown): { s3Code: string | undefined; httpStatus: number | undefined } {
  if (typeof error !== "object" || error === null) return { s3Code: undefined, httpStatus: undefined };
  const service = error as ServiceError;
  const httpStatus = service.$metadata?.httpStatusCode ?? service.$response?.statusCode;
  const name = service.Code ?? service.name;
  return { s3Code: name === "Error" || name === "UnknownError" ? undefined : name, httpStatus };
}

/** Tell whether the error only says that there is no such object. */
export function isMissingObject(error: unknown): boolean {
  const { s3Code, httpStatus } = readServiceError(error);
  if (s3Code === "NoSuchBucket") return false;
  return s3Code === "NoSuchKey" || s3Code === "NotFound" || (httpStatus === 404 && s3Code !== "NoSuchUpload");
}

/**
 * Translate what the SDK threw into an error that the reader can act on.
 * @param what what was tried: `store team-a/x.zip`
 * @param where the store's URL
 */
export function toStoreError(error: unknown, what: string, where: string): unknown {
  if (error instanceof CdhError) return error;
  const { s3Code, httpStatus } = readServiceError(error);
  const region = namedRegion(error, httpStatus);
  const failure = new StoreFailure(error, { what, where }, { s3Code, httpStatus, region });
  if (region !== undefined) {
    const hint = `set S3_REGION=${region}; where S3_ENDPOINT names a region, it must be this one`;
    return failure.explained({ code: "CDH_STORE", reason: `the bucket is in the region ${region}`, hint });
  }
  const known = s3Code === undefined ? undefined : EXPLANATIONS[s3Code];
  if (known !== undefined) return failure.explained(known);
  const unreachable = failure.unreachable();
  if (unreachable !== undefined) return unreachable;
  if (s3Code === "TimeoutError") {
    const hint = "check the endpoint and the network";
    return failure.explained({ code: "CDH_STORE_UNREACHABLE", reason: "no answer in time", hint });
  }
  if (httpStatus !== undefined)
    return failure.explained(explainStatus(httpStatus, { code: s3Code, message: reasonOf(error) }, RIGHTS_HINT));
  // The answer could not be read as S3's: a proxy's page, a body that breaks off.
  if (error instanceof SyntaxError || s3Code === "SyntaxError")
    return failure.explained({ code: "CDH_STORE", reason: "the answer is not S3's" });
  return error;
}

/** These answers may be about the region; any other may carry the header too. */
const REGION_STATUSES = new Set([301, 307, 308, 400]);
const REGION_CODES = new Set(["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]);

/** Read the region that an answer says the bucket is in. It becomes part of a host name, so only a plain name counts. */
function namedRegion(error: unknown, httpStatus: number | undefined): string | undefined {
  if (typeof error !== "object" || error === null || !REGION_STATUSES.has(httpStatus ?? 0)) return undefined;
  const { Region, $response } = error as ServiceError;
  const { s3Code = "" } = readServiceError(error);
  // An answer to HEAD has no body, and so no code.
  const isBare = s3Code === "" || /^\d+$/.test(s3Code) || s3Code === "BadRequest";
  if (httpStatus === 400 && !isBare && !REGION_CODES.has(s3Code)) return undefined;
  const named = $response?.headers?.["x-amz-bucket-region"] ?? Region;
  return named !== undefined && /^[a-z0-9-]{1,32}$/.test(named) ? named : undefined;
}

/** The region that the bucket is in, when a request failed because it went to another one. */
export function otherRegionOf(error: unknown): string | undefined {
  const region = error instanceof CdhError ? error.details["region"] : undefined;
  return typeof region === "string" ? region : undefined;
}

/** S3's codes for what passes by itself, whatever the status. */
const TRANSIENT_CODES = new Set([
  "BandwidthLimitExceeded",
  "ConditionalRequestConflict",
  "OperationAborted",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestTimeout",
  "RequestTimeoutException",
  "RequestTimeTooSkewed",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
]);

/** Tell whether the same request, sent again a moment later, may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof CdhError)) return false;
  if (error.code === "CDH_STORE_UNREACHABLE") return true;
  if (error.code === "CDH_STORE_MISMATCH") return error.details["s3Code"] !== "NoSuchUpload";
  if (error.code !== "CDH_STORE" || error.cause instanceof AnswerTooLong) return false;
  const { httpStatus: status, s3Code } = error.details;
  if (typeof s3Code === "string" && TRANSIENT_CODES.has(s3Code)) return true;
  return typeof status !== "number" || status >= 500 || status === 408 || status === 429 || status === 200;
}
