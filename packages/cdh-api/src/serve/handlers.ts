import type { Call } from "../call/call.ts";
import { sendBundle } from "../download/bundle.ts";
import { sendCore } from "../download/core.ts";
import { sendDebuginfo, sendDwp, sendExecutable, sendSection } from "../download/debug-file.ts";
import { sendFileNames } from "../download/file-names.ts";
import { makeLink } from "../download/link.ts";
import { sendReport } from "../download/report.ts";
import { pathNotFound } from "../http/api-error.ts";
import { begin, sendJson, sendText } from "../http/send.ts";
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList, wantedAggregation } from "../kube/discovery.ts";
import { getGroup, listGroups, watchGroups } from "../kube/groups-read.ts";
import { patchGroup } from "../kube/groups-write.ts";
import { openApiV2, openApiV3, openApiV3Index } from "../kube/openapi.ts";
import { getOne, list, watchList } from "../kube/read.ts";
import { deleteCollection, deleteOne, patchOne } from "../kube/write.ts";
import type { PageRoute } from "../page/routes.ts";
import { koredumpOpenApi } from "../rest/koredump-openapi.ts";
import { downloadCore, listCores, removeCore, sendMetadata } from "../rest/koredump.ts";
import type { RouteId } from "../routes.ts";

/** Answer one request. @throws {ApiError} */
export type Handler = (call: Call) => Promise<void> | void;

/** What handlers get besides the call. */
export interface HandlerSources {
  /** Reasons why it is not ready; none when it is. */
  readiness: () => string[];
  /** The page's files. */
  files: readonly PageRoute[];
}

/** Give every route its handler. */
export function makeHandlers({ readiness, files }: HandlerSources): Readonly<Record<RouteId, Handler>> {
  const page = new Map(files.map((file) => [file.path, file]));
  return {
    watchCoreDumpForAllNamespaces: (call) => watchList(call, undefined),
    listCoreDumpForAllNamespaces: (call) => list(call, undefined),
    watchNamespacedCoreDump: (call) => watchList(call, call.param("namespace")),
    listNamespacedCoreDump: (call) => list(call, call.param("namespace")),
    deleteCollectionNamespacedCoreDump: deleteCollection,
    deleteNamespacedCoreDump: deleteOne,
    readNamespacedCoreDump: getOne,
    patchNamespacedCoreDump: patchOne,
    connectGetNamespacedCoreDumpBundle: sendBundle,
    connectGetNamespacedCoreDumpCore: sendCore,
    connectGetNamespacedCoreDumpReport: sendReport,
    createNamespacedCoreDumpLink: makeLink,
    watchCrashGroupForAllNamespaces: (call) => watchGroups(call, undefined),
    listCrashGroupForAllNamespaces: (call) => listGroups(call, undefined),
    watchNamespacedCrashGroup: (call) => watchGroups(call, call.param("namespace")),
    listNamespacedCrashGroup: (call) => listGroups(call, call.param("namespace")),
    readNamespacedCrashGroup: getGroup,
    patchNamespacedCrashGroup: patchGroup,
    restList: listCores,
    restMetadata: sendMetadata,
    restDownload: downloadCore,
    restDelete: removeCore,
    restOpenApi: ({ exchange }) => sendJson(exchange, 200, koredumpOpenApi()),
    buildIdExecutable: sendExecutable,
    buildIdDebuginfo: sendDebuginfo,
    buildIdDwp: sendDwp,
    buildIdSection: sendSection,
    buildIdMetadata: sendFileNames,
    groupBuildIdExecutable: sendExecutable,
    groupBuildIdDebuginfo: sendDebuginfo,
    groupBuildIdDwp: sendDwp,
    groupBuildIdSection: sendSection,
    groupBuildIdMetadata: sendFileNames,
    apiVersions: document(() => ({ kind: "APIVersions", versions: [], serverAddressByClientCIDRs: [] })),
    apiGroups: sendGroups,
    apiGroup: document(apiGroup),
    apiResources: document(apiResourceList),
    openApiV2: document(openApiV2),
    openApiV3Index: document(openApiV3Index),
    openApiV3: document(openApiV3),
    health: text("OK"),
    healthz: text("ok"),
    livez: text("ok"),
    readyz: (call) => sendReadiness(call, readiness()),
    page: (call) => sendFile(call, page.get("/")),
    pageFile: (call) => sendFile(call, page.get(`/page/${call.param("file")}`)),
  };
}

function text(body: string): Handler {
  return ({ exchange }) => sendText(exchange, 200, "text/plain; charset=utf-8", body);
}

function document(make: () => unknown): Handler {
  return ({ exchange }) => sendText(exchange, 200, "application/json", `${JSON.stringify(make())}\n`);
}

/** All groups, in the form that is asked for. */
function sendGroups({ exchange }: Call): void {
  const wanted = wantedAggregation(exchange.request.headers.accept);
  const type =
    wanted === undefined
      ? "application/json"
      : `application/json;g=apidiscovery.k8s.io;v=${wanted};as=APIGroupDiscoveryList`;
  const body = wanted === undefined ? apiGroupList() : aggregatedDiscovery(wanted);
  sendText(exchange, 200, type, `${JSON.stringify(body)}\n`);
}

function sendReadiness({ exchange }: Call, reasons: readonly string[]): void {
  const body = reasons.length === 0 ? "ok" : `${reasons.join("\n")}\n`;
  sendText(exchange, reasons.length === 0 ? 200 : 503, "text/plain; charset=utf-8", body);
}

/** @throws {ApiError} 404 */
function sendFile({ exchange }: Call, file: PageRoute | undefined): void {
  if (file === undefined) throw pathNotFound();
  const etag = file.headers["etag"];
  if (etag !== undefined && exchange.request.headers["if-none-match"] === etag) {
    begin(exchange, 304, file.headers);
    return void exchange.response.end();
  }
  sendText(exchange, 200, file.contentType, file.body, file.headers);
}
