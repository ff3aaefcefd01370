import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import type { AccessReviewer, DumpRight, PathRight } from "../auth/access-review.ts";
import type { Caller } from "../auth/caller.ts";
import type { DumpStore } from "../index/dump-store.ts";
import { unavailable } from "../kube/api-error.ts";
import type { ApiSettings } from "../settings.ts";
import type { Tickets } from "../download/tickets.ts";
import type { ApiMetrics } from "./api-metrics.ts";
import type { Exchange } from "./exchange.ts";
import type { Gate } from "./gate.ts";

/** What handlers of requests work with. */
export interface AppContext {
  readonly dumps: DumpStore;
  readonly settings: ApiSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rights: AccessReviewer;
  /** @throws {ApiError} 401, 503 */
  readonly authenticate: (exchange: Exchange) => Promise<Caller>;
  readonly downloads: Gate;
  /** Those of them that decompress. */
  readonly cores: Gate;
  readonly tickets: Tickets;
  readonly metrics: ApiMetrics;
  /** Aborted when the server is asked to stop. */
  readonly stopSignal: AbortSignal;
}

/**
 * Learn who asks and hold it against the cluster's rights, before anything is looked up.
 * @throws {ApiError} 401, 403, 503
 */
export async function permit(app: AppContext, exchange: Exchange, right: DumpRight | PathRight): Promise<Caller> {
  const caller = await app.authenticate(exchange);
  await app.rights.check(caller, right);
  return caller;
}

/** @throws {ApiError} 503 while nothing is known of the store */
export function checkLoaded(app: AppContext): void {
  if (app.dumps.isLoaded) return;
  throw unavailable(
    app.dumps.trouble === undefined ? "the store is still being listed" : "the store could not be listed yet",
  );
}

/** Say that a listing may be out of date, in the way that kubectl shows. */
export function staleHeaders(app: AppContext): Record<string, string> {
  const since = app.dumps.staleSince;
  if (since === undefined) return {};
  return { warning: `299 - "the store does not answer; this is what it held at ${new Date(since).toISOString()}"` };
}
