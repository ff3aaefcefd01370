import type { CdhError } from "@cdh/core/errors";
import { GROUP, GROUP_RESOURCE, RESOURCE } from "../group.ts";

/** A refusal or failure as Kubernetes says it: a Status object. @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;
  readonly details: Record<string, unknown> | undefined;
  /** Seconds after which it may be tried again. */
  readonly retryAfter: number | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    reason: string,
    message: string,
    options: { details?: Record<string, unknown>; retryAfter?: number; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.details = options.details;
    this.retryAfter = options.retryAfter;
    this.headers = options.headers ?? {};
  }

  /** The body of the answer. */
  toStatus(): Record<string, unknown> {
    const details = {
      ...this.details,
      ...(this.retryAfter === undefined ? {} : { retryAfterSeconds: this.retryAfter }),
    };
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(Object.keys(details).length === 0 ? {} : { details }),
      code: this.status,
    };
  }
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, "BadRequest", message);
}

export function unauthorized(): ApiError {
  return new ApiError(401, "Unauthorized", "Unauthorized", { headers: { "www-authenticate": "Bearer" } });
}

export function forbidden(message: string, { name, kind = RESOURCE }: { name?: string; kind?: string } = {}): ApiError {
  return new ApiError(403, "Forbidden", message, {
    details: { ...(name === undefined ? {} : { name }), group: GROUP, kind },
  });
}

export function dumpNotFound(name: string, why = "not found"): ApiError {
  return new ApiError(404, "NotFound", `${RESOURCE}.${GROUP} ${JSON.stringify(name)} ${why}`, {
    details: { name, group: GROUP, kind: RESOURCE },
  });
}

export function groupNotFound(name: string): ApiError {
  return new ApiError(404, "NotFound", `${GROUP_RESOURCE}.${GROUP} ${JSON.stringify(name)} not found`, {
    details: { name, group: GROUP, kind: GROUP_RESOURCE },
  });
}

export function pathNotFound(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource");
}

export function methodNotAllowed(allow: string): ApiError {
  return new ApiError(405, "MethodNotAllowed", `the server does not allow this method; it allows ${allow}`, {
    headers: { allow },
  });
}

export function tooManyRequests(message: string, retryAfter = 1): ApiError {
  return new ApiError(429, "TooManyRequests", message, { retryAfter });
}

export function unavailable(message: string): ApiError {
  return new ApiError(503, "ServiceUnavailable", message, { retryAfter: 5 });
}

/** Say a failure of the store or of a bundle without telling a tenant where the store is. */
export function fromCdhError(error: CdhError): ApiError {
  if (error.code.startsWith("CDH_STORE")) return unavailable(`the store cannot serve it now (${error.code})`);
  if (error.code === "CDH_NOT_FOUND") return new ApiError(404, "NotFound", "it is not in the store any more");
  if (error.code === "CDH_BUNDLE_NO_CORE") return new ApiError(404, "NotFound", "the bundle holds no core");
  return new ApiError(500, "InternalError", `what is stored cannot be read (${error.code})`);
}
