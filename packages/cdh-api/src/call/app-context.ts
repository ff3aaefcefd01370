import type { TLSSocket } from "node:tls";
import type { Clock } from "@cdh/core/clock";
import type { DebugFileId } from "@cdh/core/debug-files/keys";
import type { KeptParts } from "@cdh/core/debug-files/opens-with";
import type { Logger } from "@cdh/core/log";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { AccessReviewer, DumpRight, PathRight } from "../auth/access-review.ts";
import { shareOf, type Caller } from "../auth/caller.ts";
import type { Tickets } from "../auth/tickets.ts";
import type { Groups } from "../groups/groups.ts";
import { unavailable } from "../http/api-error.ts";
import type { Connections } from "../http/connections.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Gates } from "../http/gates.ts";
import type { RefusalLog } from "../http/refusals.ts";
import type { DumpStore } from "../index/dump-store.ts";
import type { ApiSettings } from "../settings.ts";
import type { ApiMetrics } from "./api-metrics.ts";

/** A file of the store by its name. */
export interface NamedFile extends DebugFileId {
  name: string;
  hasCode: boolean;
}

/** All names that are known, and whether these are all. */
export interface NamedFiles {
  files: readonly NamedFile[];
  isComplete: boolean;
}

/** What handlers of requests work with. */
export interface AppContext {
  readonly dumps: DumpStore;
  /** Tell what the store keeps of a build-id, as it was seconds ago. @throws {CdhError} the CDH_STORE family */
  readonly keptParts: (buildId: string) => Promise<KeptParts>;
  readonly groups: Groups;
  /** Names of the files of programs. */
  readonly fileNames: { get(): Promise<NamedFiles> };
  /** Where removals and protection are told to the other replicas; undefined without `NOTICES`. */
  readonly board: NoticeBoard | undefined;
  readonly settings: ApiSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rights: AccessReviewer;
  /** Learn who asks; {@link identify} is what handlers call. @throws {ApiError} 401, 429, 503 */
  readonly authenticate: (exchange: Exchange) => Promise<Caller>;
  readonly connections: Connections;
  readonly gates: Gates;
  readonly tickets: Tickets;
  readonly metrics: ApiMetrics;
  readonly refusals: RefusalLog;
  /** Aborted when the server is asked to stop. */
  readonly stopSignal: AbortSignal;
}

/**
 * Note who asks: from here on the request takes from their share, and the connection may stay.
 * @throws {ApiError} 429 when they have their part of the requests or connections
 */
export function identified(app: AppContext, exchange: Exchange, caller: { user: string; via: string }): void {
  const share = shareOf(caller.user);
  exchange.share = share;
  exchange.caller = caller;
  const socket = exchange.request.socket as TLSSocket;
  app.connections.know(socket, caller.via === "frontProxy" ? undefined : share);
  const leave = app.gates.requests.enter(share);
  if (exchange.response.closed) leave();
  else exchange.response.once("close", leave);
}

/** Learn who asks. @throws {ApiError} 401, 429, 503 */
export async function identify(app: AppContext, exchange: Exchange): Promise<Caller> {
  const caller = await app.authenticate(exchange);
  identified(app, exchange, caller);
  return caller;
}

/**
 * Learn who asks and hold it against the cluster's rights, before anything is looked up.
 * @throws {ApiError} 401, 403, 429, 503
 */
export async function permit(app: AppContext, exchange: Exchange, right: DumpRight | PathRight): Promise<Caller> {
  const caller = await identify(app, exchange);
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
  const why = app.dumps.trouble === undefined ? "the store is still being listed" : "the store does not answer";
  return { warning: `299 - "${why}; this is what it held at ${new Date(since).toISOString()}"` };
}
