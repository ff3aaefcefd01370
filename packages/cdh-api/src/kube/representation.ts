import { GROUP_VERSION } from "../group.ts";
import { ApiError } from "../http/api-error.ts";
import type { Json } from "./json.ts";
import type { Resource } from "./resource.ts";
import { columnDefinitions, partialOf, rowOf, type IncludeObject } from "./table.ts";

/** In which form objects are wanted. */
export type Form = "object" | "table" | "partial";

/** One wanted form, and what a table carries of each object. */
export interface Representation {
  form: Form;
  include: IncludeObject;
}

/**
 * Choose the form that the client wants most and we have: JSON objects, Table, or metadata alone.
 * @throws {ApiError} 406
 */
export function chooseRepresentation(accept: string | undefined, query: URLSearchParams): Representation {
  const include = includeOf(query.get("includeObject"));
  for (const range of (accept ?? "*/*").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const named = new Map(parameters.map((part) => part.split("=", 2).map((text) => text.trim()) as [string, string]));
    if (!["application/json", "application/*", "*/*", "text/html", ""].includes(type.toLowerCase())) continue;
    const as = named.get("as");
    if (as === undefined) return { form: "object", include };
    // The older version of the same table is what kubectl asks for second.
    if (named.get("v") !== "v1" || named.get("g") !== "meta.k8s.io") continue;
    if (as === "Table") return { form: "table", include };
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { form: "partial", include };
  }
  throw new ApiError(
    406,
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  );
}

function includeOf(text: string | null): IncludeObject {
  return text === "None" || text === "Object" ? text : "Metadata";
}

/** A kind of object, and the form in which it is wanted. */
export interface Shown<Item> extends Representation {
  resource: Resource<Item>;
}

/** Make the beginning of a list, up to its items; the items and {@link LIST_END} follow. */
export function listStart<Item>({ form, resource }: Shown<Item>, metadata: Json): string {
  if (form === "table") {
    const columns = columnDefinitions(resource);
    const head = { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions: columns };
    return `${JSON.stringify(head).slice(0, -1)},"rows":[`;
  }
  const head =
    form === "partial"
      ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata }
      : { kind: resource.listKind, apiVersion: GROUP_VERSION, metadata };
  return `${JSON.stringify(head).slice(0, -1)},"items":[`;
}

/** The end of a list. */
export const LIST_END = "]}\n";

/** Make one item of a list. */
export function listItem<Item>({ form, include, resource }: Shown<Item>, item: Item, now: number): Json {
  if (form === "table") return rowOf(resource, item, { include, now });
  return form === "partial" ? partialOf(resource, item) : resource.summaryOf(item);
}

/** Make the object of a watch event; a table's columns come with the first one only. */
export function watchObject<Item>(
  { form, include, resource }: Shown<Item>,
  item: Item,
  { revision, now, isFirst }: { revision: number; now: number; isFirst: boolean },
): Json {
  if (form === "table") {
    return oneRow(resource, rowOf(resource, item, { include, now, revision }), String(revision), isFirst);
  }
  return form === "partial" ? partialOf(resource, item, revision) : resource.summaryOf(item, revision);
}

/** Make the object of a bookmark. */
export function bookmarkObject<Item>({ form, resource }: Shown<Item>, metadata: Json): Json {
  const object = { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
  if (form === "table") {
    const cells = resource.columns.map(() => "");
    return oneRow(resource, { cells, object }, String(metadata["resourceVersion"]), false);
  }
  return form === "partial" ? object : { kind: resource.kind, apiVersion: GROUP_VERSION, metadata };
}

/** Make the answer for one object. @param detail the object itself */
export function singleObject<Item>(shown: Shown<Item>, item: Item, detail: Json, now: number): Json {
  const { form, include, resource } = shown;
  if (form === "object") return detail;
  if (form === "partial") return partialOf(resource, item);
  return oneRow(resource, rowOf(resource, item, { include, now }), String(resource.revisionOf(item)), true);
}

function oneRow<Item>(resource: Resource<Item>, row: Json, resourceVersion: string, withColumns: boolean): Json {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { resourceVersion },
    columnDefinitions: withColumns ? columnDefinitions(resource) : [],
    rows: [row],
  };
}
