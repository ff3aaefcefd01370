import { BASE_PATH, KIND, LINK_KIND, LIST_KIND, RESOURCE } from "../group.ts";

/** A parameter of an operation. */
export interface ApiParameter {
  name: string;
  in: "path" | "query";
  type: "string" | "integer" | "boolean";
  description: string;
}

/** An operation of the API, from which both OpenAPI documents are made. */
export interface ApiOperation {
  path: string;
  method: "get" | "delete" | "patch" | "post";
  id: string;
  description: string;
  /** What Kubernetes' tools call it. */
  action: "list" | "get" | "delete" | "deletecollection" | "patch" | "connect" | "post";
  kind: string;
  parameters: readonly ApiParameter[];
  /** Name of the body's schema. */
  body?: string;
  bodyType?: string;
  /** Name of the answer's schema, or the content types of what is no object. */
  answer: string | readonly string[];
  status: number;
}

const query = (name: string, type: ApiParameter["type"], description: string): ApiParameter => ({
  name,
  in: "query",
  type,
  description,
});
const NAMESPACE: ApiParameter = { name: "namespace", in: "path", type: "string", description: "The namespace." };
const NAME: ApiParameter = { name: "name", in: "path", type: "string", description: "The dump's id." };
const SELECT = [
  query("labelSelector", "string", "Only dumps with these labels."),
  query("fieldSelector", "string", "Only dumps with these fields."),
];
const LIST = [
  ...SELECT,
  query("order", "string", "newest: over all namespaces the newest first; else by namespace."),
  query("since", "string", "Only crashes at or after this time, the newest first."),
  query("limit", "integer", "Most items of a page."),
  query("continue", "string", "Token of the next page."),
  query("resourceVersion", "string", "What to watch from; 0: a listing as it is known."),
  query("watch", "boolean", "Go on with changes."),
  query("allowWatchBookmarks", "boolean", "Send bookmarks."),
  query("sendInitialEvents", "boolean", "Begin a watch with what is there."),
  query("timeoutSeconds", "integer", "End a watch after this."),
];
const DRY_RUN = query("dryRun", "string", "All: change nothing.");
const ALL = `${BASE_PATH}/${RESOURCE}`;
const SOME = `${BASE_PATH}/namespaces/{namespace}/${RESOURCE}`;
const ONE = `${SOME}/{name}`;

/** All operations of the Kubernetes API. */
export const OPERATIONS: readonly ApiOperation[] = [
  {
    path: ALL,
    method: "get",
    id: "listCoreDumpForAllNamespaces",
    description: "list or watch dumps of all namespaces",
    action: "list",
    kind: KIND,
    parameters: LIST,
    answer: LIST_KIND,
    status: 200,
  },
  {
    path: SOME,
    method: "get",
    id: "listNamespacedCoreDump",
    description: "list or watch dumps",
    action: "list",
    kind: KIND,
    parameters: [NAMESPACE, ...LIST],
    answer: LIST_KIND,
    status: 200,
  },
  {
    path: SOME,
    method: "delete",
    id: "deleteCollectionNamespacedCoreDump",
    description: "delete all selected dumps",
    action: "deletecollection",
    kind: KIND,
    parameters: [NAMESPACE, ...SELECT, DRY_RUN],
    answer: ["application/json"],
    status: 200,
  },
  {
    path: ONE,
    method: "get",
    id: "readNamespacedCoreDump",
    description: "read one dump with its whole manifest",
    action: "get",
    kind: KIND,
    parameters: [NAMESPACE, NAME],
    answer: KIND,
    status: 200,
  },
  {
    path: ONE,
    method: "delete",
    id: "deleteNamespacedCoreDump",
    description: "delete one dump, bundle and all",
    action: "delete",
    kind: KIND,
    parameters: [NAMESPACE, NAME, DRY_RUN],
    answer: ["application/json"],
    status: 200,
  },
  {
    path: ONE,
    method: "patch",
    id: "patchNamespacedCoreDump",
    description: "set or remove the label that protects a dump from retention",
    action: "patch",
    kind: KIND,
    parameters: [NAMESPACE, NAME, DRY_RUN],
    body: KIND,
    bodyType: "application/merge-patch+json",
    answer: KIND,
    status: 200,
  },
  {
    path: `${ONE}/bundle`,
    method: "get",
    id: "connectGetNamespacedCoreDumpBundle",
    description: "download the bundle, a zip; ranges are served",
    action: "connect",
    kind: KIND,
    parameters: [NAMESPACE, NAME],
    answer: ["application/zip"],
    status: 200,
  },
  {
    path: `${ONE}/core`,
    method: "get",
    id: "connectGetNamespacedCoreDumpCore",
    description: "download the core, decompressed",
    action: "connect",
    kind: KIND,
    parameters: [NAMESPACE, NAME],
    answer: ["application/octet-stream"],
    status: 200,
  },
  {
    path: `${ONE}/report`,
    method: "get",
    id: "connectGetNamespacedCoreDumpReport",
    description: "read the report on the crash",
    action: "connect",
    kind: KIND,
    parameters: [NAMESPACE, NAME, query("format", "string", "json, text or html; else Accept decides.")],
    answer: ["application/json", "text/plain", "text/html"],
    status: 200,
  },
  {
    path: `${ONE}/link`,
    method: "post",
    id: "createNamespacedCoreDumpLink",
    description: "make a link that downloads without a login for a short while",
    action: "post",
    kind: LINK_KIND,
    parameters: [NAMESPACE, NAME],
    body: LINK_KIND,
    bodyType: "application/json",
    answer: LINK_KIND,
    status: 201,
  },
];
