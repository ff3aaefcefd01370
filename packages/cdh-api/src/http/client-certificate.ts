import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";

/** Tell whether a request came with a client certificate, whoever signed it. */
export function hasClientCertificate(request: IncomingMessage): boolean {
  return (request.socket as Partial<TLSSocket>).getPeerX509Certificate?.() !== undefined;
}
