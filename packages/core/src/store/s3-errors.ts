import { CdhError, errnoOf, reasonOf, type ErrorCode } from "../errors.ts";

/** The parts of the SDK's errors that we look at. */
interface ServiceError {
  name?: string;
  Code?: string;
  message?: string;
  $metadata?: { httpStatusCode?: number; requestId?: string };
  $response?: { statusCode?: number };
}

interface Explanation {
  code: ErrorCode;
  reason: string;
  hint?: string;
}

/** What S3's error codes mean for the reader. @see https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
const EXPLANATIONS: Record<string, Explanation> = {
  AccessDenied: {
    code: "CDH_STORE_DENIED",
    reason: "access denied",
    hint: "the credentials need s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket",
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
  SlowDown: { code: "CDH_STORE", reason: "the store asks to slow down" },
  ServiceUnavailable: { code: "CDH_STORE", reason: "the store is unavailable" },
  InternalError: { code: "CDH_STORE", reason: "the store failed inside" },
  QuotaExceeded: { code: "CDH_STORE", reason: "the store's quota is used up", hint: "make room in the bucket" },
  XMinioStorageFull: { code: "CDH_STORE", reason: "the store is full", hint: "make room in the store" },
  PreconditionFailed: { code: "CDH_STORE_CONFLICT", reason: "other content lies there" },
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

const NETWORK_ERRNOS = new Set(
  [
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENETDOWN",
    "ENOTFOUND",
  ].concat(["EAI_AGAIN", "EADDRNOTAVAIL", "EPROTO", "UND_ERR_SOCKET"]),
);

const NETWORK_WORDS: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection lost",
  EPIPE: "connection lost",
  ETIMEDOUT: "no answer in time",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name cannot be resolved now",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "network unreachable",
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
  const errno = networkErrno(error);
  const { s3Code, httpStatus } = readServiceError(error);
  const details = { ...(s3Code === undefined ? {} : { s3Code }), ...(httpStatus === undefined ? {} : { httpStatus }) };
  const make = (explanation: Explanation, more: Record<string, unknown> = {}): CdhError =>
    new CdhError(explanation.code, `cannot ${what} in ${where}: ${explanation.reason}`, {
      cause: error,
      details: { ...details, ...more },
      ...(explanation.hint === undefined ? {} : { hint: explanation.hint }),
    });
  const known = s3Code === undefined ? undefined : EXPLANATIONS[s3Code];
  if (known !== undefined) return make(known);
  if (errno !== undefined || s3Code === "TimeoutError") {
    const reason = errno === undefined ? "no answer in time" : (NETWORK_WORDS[errno] ?? reasonOf(error));
    return make(
      { code: "CDH_STORE_UNREACHABLE", reason, hint: "check the endpoint and the network" },
      errno === undefined ? {} : { errno },
    );
  }
  const tls = tlsReason(error);
  if (tls !== undefined)
    return make({
      code: "CDH_STORE_UNREACHABLE",
      reason: tls,
      hint: "set S3_CA_BUNDLE to the authority that signed the store's certificate",
    });
  if (httpStatus !== undefined) return make(explainStatus(httpStatus, s3Code, reasonOf(error)));
  // The answer could not be read as S3's: a proxy's page, a body that breaks off.
  if (error instanceof SyntaxError || s3Code === "SyntaxError")
    return make({ code: "CDH_STORE", reason: "the answer is not S3's" });
  return error;
}

function explainStatus(status: number, s3Code: string | undefined, message: string): Explanation {
  const words = `HTTP ${status}${s3Code === undefined ? "" : ` ${s3Code}`}${message === "" || message === s3Code ? "" : `: ${message}`}`;
  if (status === 401 || status === 403)
    return { ...(EXPLANATIONS["AccessDenied"] as Explanation), reason: `access denied (${words})` };
  if (status === 412) return EXPLANATIONS["PreconditionFailed"] as Explanation;
  // Only these speak about the very object; everything else may pass, and must never count against a bundle.
  if ([413, 414, 431].includes(status)) return { code: "CDH_STORE_REFUSED", reason: `refused: ${words}` };
  return { code: "CDH_STORE", reason: words };
}

function networkErrno(error: unknown): string | undefined {
  const errno = errnoOf(error);
  if (errno !== undefined && NETWORK_ERRNOS.has(errno)) return errno;
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined
    ? /socket hang up|aborted/.test(reasonOf(error))
      ? "ECONNRESET"
      : undefined
    : networkErrno(cause);
}

function tlsReason(error: unknown): string | undefined {
  const errno = errnoOf(error);
  if (
    errno === undefined ||
    !/^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS|ERR_SSL|HOSTNAME_MISMATCH)/.test(errno)
  )
    return undefined;
  return `the certificate is not trusted (${errno})`;
}

/** Tell whether the same request, sent again a moment later, may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof CdhError)) return false;
  if (error.code === "CDH_STORE_UNREACHABLE") return true;
  if (error.code === "CDH_STORE_MISMATCH") return error.details["s3Code"] !== "NoSuchUpload";
  if (error.code !== "CDH_STORE") return false;
  const { httpStatus: status, s3Code } = error.details;
  if (s3Code === "SlowDown" || s3Code === "RequestTimeTooSkewed" || s3Code === "ConditionalRequestConflict")
    return true;
  return typeof status !== "number" || status >= 500 || status === 408 || status === 429 || status === 200;
}
