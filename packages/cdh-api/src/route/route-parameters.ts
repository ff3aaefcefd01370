import type { RouteParameter } from "./route.ts";

const query = (name: string, type: RouteParameter["type"], description: string): RouteParameter => ({
  name,
  in: "query",
  type,
  description,
});
const path = (name: string, description: string): RouteParameter => ({ name, in: "path", type: "string", description });

export const NAMESPACE = path("namespace", "The namespace.");
export const NAME = path("name", "The dump's id.");
export const GROUP_NAME = path("name", "The group's id.");
export const DRY_RUN = query("dryRun", "string", "All: change nothing.");
export const FORMAT = query("format", "string", "json, text or html; else Accept decides.");

/** What selects dumps. */
export const SELECT: readonly RouteParameter[] = [
  query("labelSelector", "string", "Only dumps with these labels."),
  query("fieldSelector", "string", "Only dumps with these fields."),
];

/** What every list takes. */
const PAGES: readonly RouteParameter[] = [
  query("limit", "integer", "Most items of a page."),
  query("continue", "string", "Token of the next page."),
  query("resourceVersion", "string", "What to watch from; 0: a listing as it is known."),
  query("watch", "boolean", "Go on with changes."),
  query("allowWatchBookmarks", "boolean", "Send bookmarks."),
  query("sendInitialEvents", "boolean", "Begin a watch with what is there."),
  query("timeoutSeconds", "integer", "End a watch after this."),
];

/** What lists and watches of dumps take. */
export const LIST: readonly RouteParameter[] = [
  ...SELECT,
  query("order", "string", "newest: over all namespaces the newest first; else by namespace."),
  query("since", "string", "Only crashes at or after this time, the newest first."),
  query(
    "match",
    "string",
    "Only dumps that a person means: by id, pod, workload, beginning of an id or part of a pod's name.",
  ),
  ...PAGES,
];

/** What lists and watches of groups take. */
export const LIST_GROUPS: readonly RouteParameter[] = [
  query("labelSelector", "string", "Only groups with these labels."),
  query("fieldSelector", "string", "Only groups with these fields."),
  ...PAGES,
];

export const BUILD_ID = path("buildid", "Build-id of the file, hexadecimal.");
export const SECTION = path("section", "Name of a section of the file, such as .gdb_index.");

/** How koredump's paths name a core. */
export const NODE_AND_ID: readonly RouteParameter[] = [
  path("node", "The node, `_` when it is not known."),
  path("id", "The core's id."),
];

/** What koredump's list takes. */
export const OF_NAMESPACE_AND_POD: readonly RouteParameter[] = [
  query("namespace", "string", "Only of this namespace."),
  query("pod", "string", "Only of this pod."),
];

export const DECOMPRESS = query("decompress", "string", "true: decompressed.");

/** What finds files of programs by name. */
export const FIND_FILES: readonly RouteParameter[] = [
  query("key", "string", "glob or file."),
  query("value", "string", "Pattern, or name; of a path its last part counts."),
];
