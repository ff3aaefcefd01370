import { tryRecord } from "@cdh/core/base/records";
import { reasonOf } from "@cdh/core/errors";
import type { AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { GROUP_VERSION, LINK_KIND, pathOf } from "../group.ts";
import { badRequest, unauthorized } from "../http/api-error.ts";
import { readJson } from "../http/exchange.ts";
import { sendJson } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../index/placement.ts";
import { findDump } from "../kube/read.ts";
import { bundleFacts } from "./bundle.ts";

/** Make a link that downloads without a login for a short while. It needs the right to links and the right to the thing. */
export async function makeLink({ app, exchange, param, caller }: Call): Promise<void> {
  if (caller === undefined) throw unauthorized();
  const namespace = param("namespace");
  const name = param("name");
  const { subresource, lifetimeSeconds } = readWish(await readJson(exchange), app.settings.linkLifetimeMs);
  await app.rights.check(caller, { verb: "get", namespace, name, subresource });
  const record = await findDump(app, namespace, name);
  const { key } = await bundleFacts(app, record, exchange.signal);
  const expiresAt = app.clock.now() + lifetimeSeconds * 1000;
  const presigned = subresource === "bundle" ? await presign(app, record, key, lifetimeSeconds) : undefined;
  const ticket = { namespace, name, subresource, user: caller.user, expiresAt };
  const url = presigned ?? `${pathOf(namespace, name)}/${subresource}?ticket=${app.tickets.make(ticket)}`;
  app.log.info("link", {
    audit: true,
    user: caller.user,
    via: caller.via,
    namespace,
    name,
    subresource,
    from: exchange.remoteAddress,
    at: presigned === undefined ? "this server" : "the store",
    lifetimeSeconds,
  });
  sendJson(exchange, 201, {
    apiVersion: GROUP_VERSION,
    kind: LINK_KIND,
    metadata: { name, namespace },
    url,
    expiresAt: new Date(expiresAt).toISOString(),
  });
}

async function presign(
  app: AppContext,
  record: DumpRecord,
  key: string,
  lifetimeSeconds: number,
): Promise<string | undefined> {
  try {
    return await app.dumps.store.presign?.(key, { lifetimeSeconds, fileName: bundleNameOf(record) });
  } catch (error) {
    app.log.warn("the store gives no link; one of this server is made", { reason: reasonOf(error) });
    return undefined;
  }
}

function readWish(body: unknown, longestMs: number): { subresource: "bundle" | "core"; lifetimeSeconds: number } {
  const wish = tryRecord(body) ?? {};
  const { subresource = "bundle", expiresInSeconds = Number.POSITIVE_INFINITY } = wish;
  if (subresource !== "bundle" && subresource !== "core") throw badRequest('subresource is "bundle" or "core"');
  if (typeof expiresInSeconds !== "number" || !(expiresInSeconds >= 1)) {
    throw badRequest("expiresInSeconds is a number, at least 1");
  }
  return { subresource, lifetimeSeconds: Math.floor(Math.min(expiresInSeconds, longestMs / 1000)) };
}
