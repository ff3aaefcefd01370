import { errnoOf, reasonOf } from "../base/errors.ts";

/** Say why no answer came, for an error that the reader can act on. */
export interface NetworkTrouble {
  reason: string;
  hint: string;
  /** The error's number by name (`ECONNREFUSED`); absent for a certificate that is not trusted. */
  errno?: string;
}

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

/** Tell what a failure of the network or of TLS means; undefined for any other error. */
export function explainNetwork(error: unknown): NetworkTrouble | undefined {
  const errno = networkErrno(error);
  if (errno !== undefined)
    return { errno, reason: NETWORK_WORDS[errno] ?? reasonOf(error), hint: "check the endpoint and the network" };
  const tls = tlsReason(error);
  return tls === undefined
    ? undefined
    : { reason: tls, hint: "set S3_CA_BUNDLE to the authority that signed the store's certificate" };
}

/** Find the error's number, in the error or in what caused it. */
export function networkErrno(error: unknown): string | undefined {
  const errno = errnoOf(error);
  if (errno !== undefined && NETWORK_ERRNOS.has(errno)) return errno;
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause !== undefined) return networkErrno(cause);
  return /socket hang up|aborted/.test(reasonOf(error)) ? "ECONNRESET" : undefined;
}

function tlsReason(error: unknown): string | undefined {
  const errno = errnoOf(error);
  const isTls =
    errno !== undefined && /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_TLS|ERR_SSL|HOSTNAME_MISMATCH)/.test(errno);
  return isTls ? `the certificate is not trusted (${errno})` : undefined;
}
