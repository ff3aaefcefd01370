import {
  BASE_PATH,
  FILE_NAMES_RESOURCE,
  FILE_RESOURCE,
  GROUP,
  GROUP_KIND,
  GROUP_LIST_KIND,
  GROUP_RESOURCE,
  KIND,
  LINK_KIND,
  LIST_KIND,
  RESOURCE,
  type FilePart,
} from "./group.ts";
import {
  BUILD_ID,
  DECOMPRESS,
  DRY_RUN,
  FIND_FILES,
  FORMAT,
  GROUP_NAME,
  LIST,
  LIST_GROUPS,
  NAME,
  NAMESPACE,
  NODE_AND_ID,
  OF_NAMESPACE_AND_POD,
  SECTION,
  SELECT,
} from "./route/route-parameters.ts";
import type { Route, RouteAnswer } from "./route/route.ts";

const ALL = `${BASE_PATH}/${RESOURCE}`;
const SOME = `${BASE_PATH}/namespaces/{namespace}/${RESOURCE}`;
const ONE = `${SOME}/{name}`;
const ALL_GROUPS = `${BASE_PATH}/${GROUP_RESOURCE}`;
const SOME_GROUPS = `${BASE_PATH}/namespaces/{namespace}/${GROUP_RESOURCE}`;
const ONE_GROUP = `${SOME_GROUPS}/{name}`;

/** An answer of the Kubernetes API: an object with a schema, or content types. */
function done(answer: string | readonly string[], status = 200): Readonly<Record<number, RouteAnswer>> {
  const shown = typeof answer === "string" ? { schema: answer } : { types: answer };
  return { [status]: { description: "done", ...shown }, 401: { description: "Unauthorized" } };
}

/** Refusals of koredump's routes on one core. */
const REST_REFUSALS: Readonly<Record<number, RouteAnswer>> = {
  401: { description: "No token, or none for this server." },
  404: { description: "No such core, or not for this caller." },
  503: { description: "The store, or the cluster's API server, does not answer." },
};

const JSON_TYPE = ["application/json"];
const read = { kind: KIND, isAdvertised: true } as const;
const readGroup = { kind: GROUP_KIND, isAdvertised: true } as const;

/** Who may do something with groups: a right of its own, as dumps have theirs. */
function groupRight<Verb extends "get" | "list" | "watch" | "patch">(
  verb: Verb,
): { asked: "dump"; resource: typeof GROUP_RESOURCE; verb: Verb } {
  return { asked: "dump", resource: GROUP_RESOURCE, verb };
}

/** A document that clients read before they ask for objects. */
function document(path: string, description: string): Route {
  const answers = { 200: { description: "The document.", types: JSON_TYPE } };
  return {
    method: "GET",
    path,
    counted: "discovery",
    right: { asked: "path" },
    description,
    parameters: [],
    answers,
  };
}

/** A part of a dump that is read under a path, a metric and a right of its own name. */
function part(
  name: "bundle" | "core" | "report",
  asked: "dump" | "ticket",
  description: string,
  types: readonly string[],
): Route {
  return {
    method: "GET",
    path: `${ONE}/${name}`,
    counted: name,
    right: { asked, verb: "get", subresource: name },
    description,
    parameters: [NAMESPACE, NAME],
    answers: done(types),
    kubernetes: { ...read, action: "connect" },
  };
}

/**
 * A file of a program, by build-id, as debuginfod's clients ask for it: at the server's root, and below the group, where the API server's
 * own proxy carries the question here. The path names no namespace, and a right of the cluster's scope is asked for: a build-id that a
 * namespace's own crash names proves nothing, since a process maps what it likes.
 */
function buildIdFile(base: string, which: FilePart, description: string): Route {
  const answers = {
    200: { description: "The file.", types: ["application/octet-stream"] },
    206: { description: "A range of it." },
    401: { description: "No token, or none for this server." },
    403: { description: "The caller may not read the files of programs." },
    404: { description: "No such file." },
  };
  const right = { asked: "dump", resource: FILE_RESOURCE, verb: "get", subresource: which } as const;
  const isSection = which === "section";
  const path = `${base}/${FILE_RESOURCE}/{buildid}/${which}${isSection ? "/{section}" : ""}`;
  const parameters = isSection ? [BUILD_ID, SECTION] : [BUILD_ID];
  return { method: "GET", path, counted: "buildid", right, description, parameters, answers };
}

/** Names of files that are kept, as debuginfod's clients of elfutils 0.191 and later ask for them. */
function fileNames(base: string): Route {
  const answers = { 200: { description: "What was found.", types: JSON_TYPE }, 400: { description: "Another key." } };
  return {
    method: "GET",
    path: `${base}/${FILE_NAMES_RESOURCE}`,
    counted: "buildid",
    right: { asked: "dump", resource: FILE_NAMES_RESOURCE, verb: "list" },
    description: "find files by name: key=glob or key=file, value=…",
    parameters: FIND_FILES,
    answers,
  };
}

/** What a kubelet or a load balancer asks. */
function probe(path: string, description: string): Route {
  const answers = { 200: { description: "OK", types: ["text/plain"] } };
  return { method: "GET", path, counted: "probe", right: { asked: "open" }, description, parameters: [], answers };
}

const LISTING = {
  method: "GET",
  answers: done(LIST_KIND),
} as const;

const GROUP_LISTING = {
  method: "GET",
  answers: done(GROUP_LIST_KIND),
} as const;

const TABLE = {
  watchCoreDumpForAllNamespaces: {
    ...LISTING,
    path: ALL,
    flag: "watch",
    counted: "watch",
    right: { asked: "dump", verb: "watch" },
    description: "watch dumps of all namespaces",
    parameters: LIST,
    kubernetes: { ...read, action: "watch" },
  },
  listCoreDumpForAllNamespaces: {
    ...LISTING,
    path: ALL,
    counted: "list",
    right: { asked: "dump", verb: "list" },
    description: "list or watch dumps of all namespaces",
    parameters: LIST,
    kubernetes: { ...read, action: "list" },
  },
  watchNamespacedCoreDump: {
    ...LISTING,
    path: SOME,
    flag: "watch",
    counted: "watch",
    right: { asked: "dump", verb: "watch" },
    description: "watch dumps",
    parameters: [NAMESPACE, ...LIST],
    kubernetes: { ...read, action: "watch" },
  },
  listNamespacedCoreDump: {
    ...LISTING,
    path: SOME,
    counted: "list",
    right: { asked: "dump", verb: "list" },
    description: "list or watch dumps",
    parameters: [NAMESPACE, ...LIST],
    kubernetes: { ...read, action: "list" },
  },
  /**
   * This and the next work and are not advertised: the cluster's namespace controller deletes at once whatever says that it
   * can be deleted, and a namespace that was removed by mistake would take its dumps along; how long they outlive it is for
   * retention to say. See docs/decisions/0060-api.md.
   */
  deleteCollectionNamespacedCoreDump: {
    method: "DELETE",
    path: SOME,
    counted: "delete",
    right: { asked: "dump", verb: "deletecollection" },
    description: "delete all selected dumps",
    parameters: [NAMESPACE, ...SELECT, DRY_RUN],
    answers: done(JSON_TYPE),
    kubernetes: { kind: KIND, action: "deletecollection", isAdvertised: false },
  },
  deleteNamespacedCoreDump: {
    method: "DELETE",
    path: ONE,
    counted: "delete",
    right: { asked: "dump", verb: "delete" },
    description: "delete one dump, bundle and all",
    parameters: [NAMESPACE, NAME, DRY_RUN],
    answers: done(JSON_TYPE),
    kubernetes: { kind: KIND, action: "delete", isAdvertised: false },
  },
  readNamespacedCoreDump: {
    method: "GET",
    path: ONE,
    counted: "get",
    right: { asked: "dump", verb: "get" },
    description: "read one dump with its whole manifest",
    parameters: [NAMESPACE, NAME],
    answers: done(KIND),
    kubernetes: { ...read, action: "get" },
  },
  patchNamespacedCoreDump: {
    method: "PATCH",
    path: ONE,
    counted: "patch",
    right: { asked: "dump", verb: "patch" },
    description: "set or remove the label that protects a dump from retention",
    parameters: [NAMESPACE, NAME, DRY_RUN],
    answers: done(KIND),
    kubernetes: { ...read, action: "patch", body: KIND, bodyType: "application/merge-patch+json" },
  },
  connectGetNamespacedCoreDumpBundle: part("bundle", "ticket", "download the bundle, a zip; ranges are served", [
    "application/zip",
  ]),
  connectGetNamespacedCoreDumpCore: part("core", "ticket", "download the core, decompressed", [
    "application/octet-stream",
  ]),
  connectGetNamespacedCoreDumpReport: {
    ...part("report", "dump", "read the report on the crash", ["application/json", "text/plain", "text/html"]),
    parameters: [NAMESPACE, NAME, FORMAT],
  },
  createNamespacedCoreDumpLink: {
    method: "POST",
    path: `${ONE}/link`,
    counted: "link",
    right: { asked: "dump", verb: "create", subresource: "link" },
    description: "make a link that downloads without a login for a short while",
    parameters: [NAMESPACE, NAME],
    answers: done(LINK_KIND, 201),
    kubernetes: { kind: LINK_KIND, action: "post", isAdvertised: true, body: LINK_KIND, bodyType: "application/json" },
  },
  watchCrashGroupForAllNamespaces: {
    ...GROUP_LISTING,
    path: ALL_GROUPS,
    flag: "watch",
    counted: "watch",
    right: groupRight("watch"),
    description: "watch groups of all namespaces",
    parameters: LIST_GROUPS,
    kubernetes: { ...readGroup, action: "watch" },
  },
  listCrashGroupForAllNamespaces: {
    ...GROUP_LISTING,
    path: ALL_GROUPS,
    counted: "groups",
    right: groupRight("list"),
    description: "list or watch groups of all namespaces",
    parameters: LIST_GROUPS,
    kubernetes: { ...readGroup, action: "list" },
  },
  watchNamespacedCrashGroup: {
    ...GROUP_LISTING,
    path: SOME_GROUPS,
    flag: "watch",
    counted: "watch",
    right: groupRight("watch"),
    description: "watch groups",
    parameters: [NAMESPACE, ...LIST_GROUPS],
    kubernetes: { ...readGroup, action: "watch" },
  },
  listNamespacedCrashGroup: {
    ...GROUP_LISTING,
    path: SOME_GROUPS,
    counted: "groups",
    right: groupRight("list"),
    description: "list or watch groups: one for each bug",
    parameters: [NAMESPACE, ...LIST_GROUPS],
    kubernetes: { ...readGroup, action: "list" },
  },
  readNamespacedCrashGroup: {
    method: "GET",
    path: ONE_GROUP,
    counted: "groups",
    right: groupRight("get"),
    description: "read one group",
    parameters: [NAMESPACE, GROUP_NAME],
    answers: done(GROUP_KIND),
    kubernetes: { ...readGroup, action: "get" },
  },
  patchNamespacedCrashGroup: {
    method: "PATCH",
    path: ONE_GROUP,
    counted: "groups",
    right: groupRight("patch"),
    description: "say that a group is resolved, muted or open",
    parameters: [NAMESPACE, GROUP_NAME, DRY_RUN],
    answers: done(GROUP_KIND),
    kubernetes: { ...readGroup, action: "patch", body: GROUP_KIND, bodyType: "application/merge-patch+json" },
  },
  restList: {
    method: "GET",
    path: "/apiv1/cores",
    counted: "rest",
    isKoredumps: true,
    right: { asked: "dump", verb: "list" },
    description: "List cores, oldest first. Without a namespace: all, for who may list them all.",
    parameters: OF_NAMESPACE_AND_POD,
    answers: {
      200: { description: "The cores.", schema: "Core", isArray: true },
      401: { description: "No token, or none for this server." },
      403: { description: "The caller may not list that namespace." },
      503: { description: "The store, or the cluster's API server, does not answer." },
    },
  },
  restMetadata: {
    method: "GET",
    path: "/apiv1/cores/metadata/{node}/{id}",
    counted: "rest",
    isKoredumps: true,
    right: { asked: "found", verb: "get" },
    description: "Read what is known of a core.",
    parameters: NODE_AND_ID,
    answers: { 200: { description: "The core.", schema: "Core" }, ...REST_REFUSALS },
  },
  restDownload: {
    method: "GET",
    path: "/apiv1/cores/download/{node}/{id}",
    counted: "rest",
    isKoredumps: true,
    right: { asked: "found", verb: "get", subresource: "core" },
    description: "Download a core. Ranges, ETag and HEAD work.",
    parameters: [...NODE_AND_ID, DECOMPRESS],
    answers: {
      200: { description: "The core.", types: ["application/octet-stream"] },
      206: { description: "A range of it." },
      ...REST_REFUSALS,
      415: { description: "It is not compressed." },
      416: { description: "Nothing of it is in that range." },
      429: { description: "Too many downloads at the same time." },
    },
  },
  restDelete: {
    method: "DELETE",
    path: "/apiv1/cores/delete/{node}/{id}",
    counted: "rest",
    isKoredumps: true,
    right: { asked: "found", verb: "delete" },
    description: "Delete a core, bundle and all.",
    parameters: NODE_AND_ID,
    answers: { 200: { description: "It is gone.", types: JSON_TYPE }, ...REST_REFUSALS },
  },
  restOpenApi: {
    method: "GET",
    path: "/apiv1/openapi.json",
    counted: "rest",
    isKoredumps: true,
    right: { asked: "open" },
    description: "Read this document.",
    parameters: [],
    answers: { 200: { description: "The document.", types: JSON_TYPE } },
  },
  buildIdExecutable: buildIdFile("", "executable", "download a program or library"),
  buildIdDebuginfo: buildIdFile("", "debuginfo", "download debug info"),
  buildIdDwp: buildIdFile("", "dwp", "download the package of split debug info"),
  buildIdSection: buildIdFile("", "section", "download a section"),
  buildIdMetadata: fileNames(""),
  groupBuildIdExecutable: buildIdFile(BASE_PATH, "executable", "download a program or library"),
  groupBuildIdDebuginfo: buildIdFile(BASE_PATH, "debuginfo", "download debug info"),
  groupBuildIdDwp: buildIdFile(BASE_PATH, "dwp", "download the package of split debug info"),
  groupBuildIdSection: buildIdFile(BASE_PATH, "section", "download a section"),
  groupBuildIdMetadata: fileNames(BASE_PATH),
  apiVersions: document("/api", "the core group, of which nothing is here"),
  apiGroups: document("/apis", "all groups, or everything at once in the aggregated form"),
  apiGroup: document(`/apis/${GROUP}`, "the group"),
  apiResources: document(BASE_PATH, "the resources and their verbs"),
  openApiV2: document("/openapi/v2", "these routes as OpenAPI 2"),
  openApiV3Index: document("/openapi/v3", "where OpenAPI 3 documents are"),
  openApiV3: document(`/openapi/v3${BASE_PATH}`, "these routes as OpenAPI 3"),
  health: { ...probe("/health", "Tell that it runs."), isKoredumps: true },
  healthz: probe("/healthz", "tell that it runs"),
  livez: probe("/livez", "tell that it runs"),
  readyz: probe("/readyz", "tell that the store is listed and the front proxy known, or why not"),
  page: { ...probe("/", "the page"), counted: "page" },
  pageFile: { ...probe("/page/{file}", "a file of the page"), counted: "page" },
} as const satisfies Record<string, Route>;

/** Name of a route; of the Kubernetes API's it is the operation's id. */
export type RouteId = keyof typeof TABLE;

/** A route with its name. */
export type NamedRoute = Route & { id: RouteId };

/** Everything that the server does. The first that fits a request answers it. */
export const ROUTES: readonly NamedRoute[] = (Object.entries(TABLE) as [RouteId, Route][]).map(([id, route]) => ({
  id,
  ...route,
}));
