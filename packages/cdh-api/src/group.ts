/** The API group. */
export const GROUP = "core-dump-handler.dev";

/** Its only version. */
export const VERSION_NAME = "v1alpha1";

/** `group/version`, as objects carry it. */
export const GROUP_VERSION = `${GROUP}/${VERSION_NAME}`;

/** The resource in paths and rights. */
export const RESOURCE = "coredumps";
export const SINGULAR = "coredump";
export const SHORT_NAME = "cdump";
export const KIND = "CoreDump";
export const LIST_KIND = "CoreDumpList";
export const LINK_KIND = "CoreDumpLink";

/** Groups of dumps: one for each bug of a namespace. */
export const GROUP_RESOURCE = "crashgroups";
export const GROUP_SINGULAR = "crashgroup";
export const GROUP_SHORT_NAME = "cgroup";
export const GROUP_KIND = "CrashGroup";
export const GROUP_LIST_KIND = "CrashGroupList";

/** What is below one dump; each is a right of its own. */
export const SUBRESOURCES = ["bundle", "core", "report", "link"] as const;

/** Name one of {@link SUBRESOURCES}. */
export type Subresource = (typeof SUBRESOURCES)[number];

/** Files of programs, by build-id: below the group and at the server's root, as debuginfod's clients ask. Each part is a right. */
export const FILE_RESOURCE = "buildid";
export const FILE_PARTS = ["executable", "debuginfo", "dwp", "section"] as const;

/** Name one of {@link FILE_PARTS}. */
export type FilePart = (typeof FILE_PARTS)[number];

/** What finds files of programs by their names; a right to `list`, because the path names none. */
export const FILE_NAMES_RESOURCE = "metadata";

/** Where the group begins. */
export const BASE_PATH = `/apis/${GROUP_VERSION}`;

/** The label that protects a dump from retention. */
export const KEEP_LABEL = `${GROUP}/keep`;

/** The label of a dump that names its group. */
export const GROUP_LABEL = `${GROUP}/group`;

/** The label of a group that says how people see it, and the annotations beside it. */
export const STATE_LABEL = `${GROUP}/state`;
export const RESOLVED_IN = `${GROUP}/resolved-in`;
export const NOTE = `${GROUP}/note`;

/** Audience of tokens that are made for this server. */
export const AUDIENCE = GROUP;

/** Names of the labels that each dump carries, below the group: `core-dump-handler.dev/pod`. */
export const LABELS = ["pod", "container", "signal", "node", "executable", "workload"] as const;

/** Name one of {@link LABELS}. */
export type DumpLabel = (typeof LABELS)[number];

/** Path of a dump. */
export function pathOf(namespace: string, name: string): string {
  return `${BASE_PATH}/namespaces/${namespace}/${RESOURCE}/${name}`;
}
