import type { IncomingMessage } from "node:http";
import { addressOf } from "@cdh/core/connection-pool";
import { unauthorized } from "../http/api-error.ts";
import { withAuthenticatedGroup, type Caller } from "./caller.ts";
import type { FrontProxy } from "./front-proxy.ts";
import type { TokenReviewer } from "./token-review.ts";

/**
 * Learn who asks: from the front proxy's headers when it is the front proxy, else from a bearer token. Headers of
 * anybody else mean nothing.
 * @throws {ApiError} 401; 429 when too many ask; 503 when the cluster cannot be asked
 */
export async function authenticate(
  request: IncomingMessage,
  known: { frontProxy: FrontProxy | undefined; tokens: TokenReviewer },
): Promise<Caller> {
  const proxied = known.frontProxy?.identify(request);
  if (proxied !== undefined) return withAuthenticatedGroup(proxied);
  const token = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1];
  const caller = token === undefined ? undefined : await known.tokens.review(token, addressOf(request.socket));
  if (caller === undefined) throw unauthorized();
  return withAuthenticatedGroup(caller);
}
