import type { DumpRight } from "../auth/access-review.ts";
import { identified, identify, permit, type AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { unauthorized } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { tryNameOfFieldSelector } from "../kube/selectors.ts";
import type { Route } from "../route/route.ts";
import type { Found } from "./router.ts";

const NOBODY: Pick<Call, "who" | "caller"> = { who: { user: "", via: "" }, caller: undefined };

/**
 * Learn who asks, and hold it against what the route demands, before anything is looked up.
 * @throws {ApiError} 401, 403, 429, 503
 */
export async function admit(
  app: AppContext,
  exchange: Exchange,
  { route, parameters }: Found,
): Promise<Pick<Call, "who" | "caller">> {
  const { right } = route;
  switch (right.asked) {
    case "open":
      return NOBODY;
    case "path":
      return known(await permit(app, exchange, { verb: "get", path: exchange.path }));
    case "found":
      return known(await identify(app, exchange));
    case "ticket": {
      const wanted = dumpRight(route, right, exchange, parameters);
      return admitByTicket(app, exchange, wanted) ?? known(await permit(app, exchange, wanted));
    }
    case "dump":
      return known(await permit(app, exchange, dumpRight(route, right, exchange, parameters)));
  }
}

function known(caller: NonNullable<Call["caller"]>): Pick<Call, "who" | "caller"> {
  return { who: { user: caller.user, via: caller.via }, caller };
}

function dumpRight(
  route: Route,
  right: Pick<DumpRight, "verb" | "resource" | "subresource">,
  { query }: Exchange,
  parameters: Found["parameters"],
): DumpRight {
  const isInQuery = route.parameters.some((one) => one.name === "namespace" && one.in === "query");
  const selectsByField = route.parameters.some((one) => one.name === "fieldSelector");
  const isList = right.verb === "list" || right.verb === "watch";
  const name =
    parameters.get("name") ??
    // A list of one by its name is a right to that one, as in Kubernetes.
    (selectsByField && isList ? tryNameOfFieldSelector(query.get("fieldSelector") ?? undefined) : undefined);
  return {
    verb: right.verb,
    namespace: parameters.get("namespace") ?? (isInQuery ? query.get("namespace") : undefined) ?? "",
    ...(name === undefined ? {} : { name }),
    ...(right.resource === undefined ? {} : { resource: right.resource }),
    ...(right.subresource === undefined ? {} : { subresource: right.subresource }),
  };
}

/** @returns undefined when no ticket is shown @throws {ApiError} 401 when it is not for exactly this */
function admitByTicket(
  app: AppContext,
  exchange: Exchange,
  wanted: DumpRight,
): Pick<Call, "who" | "caller"> | undefined {
  const text = exchange.query.get("ticket");
  if (text === null) return undefined;
  const ticket = app.tickets.tryRead(text);
  const isForThis =
    ticket?.namespace === wanted.namespace && ticket.name === wanted.name && ticket.subresource === wanted.subresource;
  if (ticket === undefined || !isForThis) throw unauthorized();
  const who = { user: ticket.user, via: "link" };
  identified(app, exchange, who);
  return { who, caller: undefined };
}
