import {
  BASE_PATH,
  FILE_NAMES_RESOURCE,
  FILE_RESOURCE,
  GROUP_KIND,
  GROUP_RESOURCE,
  KIND,
  RESOURCE,
  type FilePart,
  GROUP_LIST_KIND,
  LIST_KIND,
} from "../group.ts";
import { BUILD_ID, FIND_FILES, NAME, NAMESPACE, SECTION } from "./route-parameters.ts";
import type { Route, RouteAnswer } from "./route.ts";

export const ALL = `${BASE_PATH}/${RESOURCE}`;
export const SOME = `${BASE_PATH}/namespaces/{namespace}/${RESOURCE}`;
export const ONE = `${SOME}/{name}`;
export const ALL_GROUPS = `${BASE_PATH}/${GROUP_RESOURCE}`;
export const SOME_GROUPS = `${BASE_PATH}/namespaces/{namespace}/${GROUP_RESOURCE}`;
export const ONE_GROUP = `${SOME_GROUPS}/{name}`;

/** An answer of the Kubernetes API: an object with a schema, or content types. */
export function done(answer: string | readonly string[], status = 200): Readonly<Record<number, RouteAnswer>> {
  const shown = typeof answer === "string" ? { schema: answer } : { types: answer };
  return { [status]: { description: "done", ...shown }, 401: { description: "Unauthorized" } };
}

/** Refusals of koredump's routes on one core. */
export const REST_REFUSALS: Readonly<Record<number, RouteAnswer>> = {
  401: { description: "No token, or none for this server." },
  404: { description: "No such core, or not for this caller." },
  503: { description: "The store, or the cluster's API server, does not answer." },
};

export const JSON_TYPE = ["application/json"];
export const read = { kind: KIND, isAdvertised: true } as const;
export const readGroup = { kind: GROUP_KIND, isAdvertised: true } as const;

/** Who may do something with groups: a right of its own, as dumps have theirs. */
export function groupRight<Verb extends "get" | "list" | "watch" | "patch">(
  verb: Verb,
): { asked: "dump"; resource: typeof GROUP_RESOURCE; verb: Verb } {
  return { asked: "dump", resource: GROUP_RESOURCE, verb };
}

/** A document that clients read before they ask for objects. */
export function document(path: string, description: string): Route {
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
export function part(
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
export function buildIdFile(base: string, which: FilePart, description: string): Route {
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
export function fileNames(base: string): Route {
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
export function probe(path: string, description: string): Route {
  const answers = { 200: { description: "OK", types: ["text/plain"] } };
  return { method: "GET", path, counted: "probe", right: { asked: "open" }, description, parameters: [], answers };
}

export const LISTING = {
  method: "GET",
  answers: done(LIST_KIND),
} as const;

export const GROUP_LISTING = {
  method: "GET",
  answers: done(GROUP_LIST_KIND),
} as const;
