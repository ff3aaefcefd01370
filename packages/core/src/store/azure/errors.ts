import { CdhError, reasonOf } from "../../base/errors.ts";
import { explainStatus, OTHER_CONTENT, StoreFailure, type Explanation } from "../explanation.ts";

/** The parts of the library's errors that we look at. */
interface ServiceError {
  name?: string;
  code?: string;
  statusCode?: number;
  message?: string;
  details?: { errorCode?: string };
}

const ROLE_HINT =
  'give the identity the role "Storage Blob Data Contributor" on the container, and "Storage Blob Delegator" on the account for links';

/** What Azure's error codes mean for the reader. @see https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */
const EXPLANATIONS: Record<string, Explanation> = {
  AuthenticationFailed: {
    code: "CDH_STORE_DENIED",
    reason: "the signature or token is not accepted",
    hint: "check the key or signature, that it has not expired, and this node's clock",
  },
  AuthorizationFailure: {
    code: "CDH_STORE_DENIED",
    reason: "access denied",
    hint: "the account's firewall may not let this network in, or the signature lacks the right",
  },
  AuthorizationPermissionMismatch: {
    code: "CDH_STORE_DENIED",
    reason: "the identity lacks the right",
    hint: ROLE_HINT,
  },
  AuthorizationProtocolMismatch: { code: "CDH_STORE_DENIED", reason: "the signature is for https only" },
  AuthorizationSourceIPMismatch: { code: "CDH_STORE_DENIED", reason: "the signature is not for this address" },
  AuthorizationServiceMismatch: { code: "CDH_STORE_DENIED", reason: "the signature is not for blobs" },
  AuthorizationResourceTypeMismatch: {
    code: "CDH_STORE_DENIED",
    reason: "the signature is not for this kind of resource",
  },
  InsufficientAccountPermissions: { code: "CDH_STORE_DENIED", reason: "the identity lacks the right", hint: ROLE_HINT },
  InvalidAuthenticationInfo: {
    code: "CDH_STORE_DENIED",
    reason: "the token is not for this account",
    hint: "is the account in another tenant? check AZURE_TENANT_ID",
  },
  NoAuthenticationInformation: { code: "CDH_STORE_DENIED", reason: "the account wants credentials" },
  KeyBasedAuthenticationNotPermitted: {
    code: "CDH_STORE_DENIED",
    reason: "the account takes no keys",
    hint: "use workload identity or a managed identity in place of AZURE_STORAGE_KEY",
  },
  PublicAccessNotPermitted: { code: "CDH_STORE_DENIED", reason: "the account takes no anonymous requests" },
  AccountIsDisabled: { code: "CDH_STORE_DENIED", reason: "the account is disabled" },
  CredentialUnavailableError: {
    code: "CDH_STORE_DENIED",
    reason: "no credentials found",
    hint: "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or give the pod a workload identity",
  },
  AggregateAuthenticationError: {
    code: "CDH_STORE_DENIED",
    reason: "no credentials found",
    hint: "set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or give the pod a workload identity",
  },
  AuthenticationRequiredError: { code: "CDH_STORE_DENIED", reason: "no token could be got" },
  AuthenticationError: {
    code: "CDH_STORE_DENIED",
    reason: "the identity provider gave no token",
    hint: "check AZURE_CLIENT_ID, AZURE_TENANT_ID and the federated credential's subject",
  },
  ContainerNotFound: {
    code: "CDH_STORE",
    reason: "the container does not exist",
    hint: "create the container, or correct STORE_URL",
  },
  ContainerBeingDeleted: { code: "CDH_STORE", reason: "the container is being deleted" },
  ContainerDisabled: { code: "CDH_STORE", reason: "the container is disabled" },
  InvalidResourceName: { code: "CDH_STORE_REFUSED", reason: "the store does not take this name" },
  OutOfRangeInput: { code: "CDH_STORE_REFUSED", reason: "the store does not take a name of this length" },
  BlobAlreadyExists: OTHER_CONTENT,
  ConditionNotMet: OTHER_CONTENT,
  UnauthorizedBlobOverwrite: OTHER_CONTENT,
  BlobImmutableDueToPolicy: {
    code: "CDH_STORE_CONFLICT",
    reason: "an immutability policy protects what lies there",
    hint: "it can be deleted or replaced once the policy's time is over",
  },
  BlobImmutableDueToLegalHold: {
    code: "CDH_STORE_CONFLICT",
    reason: "a legal hold protects what lies there",
    hint: "it can be deleted or replaced once the hold is taken off",
  },
  BlobArchived: {
    code: "CDH_STORE",
    reason: "the blob is in the archive tier",
    hint: "rehydrate it, and set AZURE_ACCESS_TIER to Hot, Cool or Cold for what comes",
  },
  BlobBeingRehydrated: { code: "CDH_STORE", reason: "the blob is on its way out of the archive tier" },
  BlobUsesCustomerSpecifiedEncryption: {
    code: "CDH_STORE_DENIED",
    reason: "the blob is encrypted with a key of its own",
    hint: "set AZURE_CUSTOMER_PROVIDED_KEY to that key",
  },
  LeaseIdMissing: { code: "CDH_STORE_CONFLICT", reason: "somebody holds a lease on what lies there" },
  SnapshotsPresent: { code: "CDH_STORE_CONFLICT", reason: "what lies there has snapshots" },
  Md5Mismatch: { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" },
  Crc64Mismatch: { code: "CDH_STORE_MISMATCH", reason: "what arrived is not what was sent" },
  InvalidBlobOrBlock: { code: "CDH_STORE_MISMATCH", reason: "other blocks lie there" },
  InvalidBlockList: { code: "CDH_STORE_MISMATCH", reason: "the store lost a block" },
  RequestBodyTooLarge: { code: "CDH_STORE_REFUSED", reason: "the store does not take blocks of this size" },
  BlockCountExceedsLimit: { code: "CDH_STORE_REFUSED", reason: "the store does not take so many blocks" },
  MetadataTooLarge: { code: "CDH_STORE_REFUSED", reason: "the store does not take so much metadata" },
  ServerBusy: { code: "CDH_STORE", reason: "the store asks to slow down" },
  InternalError: { code: "CDH_STORE", reason: "the store failed inside" },
  OperationTimedOut: { code: "CDH_STORE", reason: "the store took too long" },
};

const MISSING = new Set(["BlobNotFound", "ResourceNotFound"]);

/** Read Azure's error code (`BlobNotFound`) and the HTTP status from whatever the library threw. */
export function readServiceError(error: unknown): { azureCode: string | undefined; httpStatus: number | undefined } {
  if (typeof error !== "object" || error === null) return { azureCode: undefined, httpStatus: undefined };
  const { code, details, name, statusCode } = error as ServiceError;
  const service = details?.errorCode ?? code;
  const named = service ?? (name === "Error" || name === "RestError" ? undefined : name);
  return { azureCode: named, httpStatus: statusCode };
}

/** Tell whether the error only says that there is no such blob. */
export function isMissingBlob(error: unknown): boolean {
  const { azureCode, httpStatus } = readServiceError(error);
  if (azureCode !== undefined && MISSING.has(azureCode)) return true;
  // An answer to HEAD has no body; the code is in a header, which a proxy may have lost.
  return httpStatus === 404 && azureCode !== "ContainerNotFound" && azureCode !== "ContainerBeingDeleted";
}

/** Tell whether the error says that the range lies behind the end. */
export function isBeyondEnd(error: unknown): boolean {
  return readServiceError(error).httpStatus === 416;
}

/**
 * Translate what the library threw into an error that the reader can act on.
 * @param what what was tried: `store team-a/x.zip`
 * @param where the store's URL
 */
export function toStoreError(error: unknown, what: string, where: string): unknown {
  if (error instanceof CdhError) return error;
  const { azureCode, httpStatus } = readServiceError(error);
  const failure = new StoreFailure(error, { what, where }, { azureCode, httpStatus });
  const known = azureCode === undefined ? undefined : EXPLANATIONS[azureCode];
  if (known !== undefined) return failure.explained(known);
  const unreachable = failure.unreachable("does the storage account exist? check AZURE_STORAGE_ACCOUNT");
  if (unreachable !== undefined) return unreachable;
  if (httpStatus !== undefined)
    return failure.explained(explainStatus(httpStatus, { code: azureCode, message: reasonOf(error) }, ROLE_HINT));
  if (azureCode === "PARSE_ERROR") return failure.explained({ code: "CDH_STORE", reason: "the answer is not Azure's" });
  return error;
}

/** Tell whether the same request, sent again a moment later, may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof CdhError)) return false;
  if (error.code === "CDH_STORE_UNREACHABLE") return true;
  if (error.code === "CDH_STORE_MISMATCH") return error.details["azureCode"] === "Md5Mismatch";
  if (error.code !== "CDH_STORE") return false;
  const { httpStatus: status } = error.details;
  return typeof status === "number" && (status >= 500 || status === 408 || status === 429);
}
