import type { Subresource } from "../group.ts";
import { permit, type AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { unauthorized } from "../kube/api-error.ts";

/**
 * Learn who downloads: a ticket that was made for exactly this, or a caller with the right to it.
 * @throws {ApiError} 401, 403, 503
 */
export async function permitDownload(
  app: AppContext,
  exchange: Exchange,
  what: { namespace: string; name: string; subresource: Subresource },
): Promise<{ user: string; via: string }> {
  const text = exchange.query.get("ticket");
  if (text === null) {
    const caller = await permit(app, exchange, { verb: "get", ...what });
    return { user: caller.user, via: caller.via };
  }
  const ticket = app.tickets.tryRead(text);
  const isForThis =
    ticket?.namespace === what.namespace && ticket.name === what.name && ticket.subresource === what.subresource;
  if (ticket === undefined || !isForThis) throw unauthorized();
  return { user: ticket.user, via: "link" };
}
