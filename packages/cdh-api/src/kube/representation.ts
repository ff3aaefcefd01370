import { GROUP_VERSION, KIND, LIST_KIND } from "../group.ts";
import { ApiError } from "../http/api-error.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { summaryOf, type Json } from "./coredump.ts";
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

/** Make the beginning of a list, up to its items; the items and {@link LIST_END} follow. */
export function listStart({ form }: Representation, metadata: Json): string {
  if (form === "table") {
    const head = { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions: columnDefinitions() };
    return `${JSON.stringify(head).slice(0, -1)},"rows":[`;
  }
  const head =
    form === "partial"
      ? { kind: "PartialObjectMetadataList", apiVersion: "meta.k8s.io/v1", metadata }
      : { kind: LIST_KIND, apiVersion: GROUP_VERSION, metadata };
  return `${JSON.stringify(head).slice(0, -1)},"items":[`;
}

/** The end of a list. */
export const LIST_END = "]}\n";

/** Make one item of a list. */
export function listItem({ form, include }: Representation, record: DumpRecord, now: number): Json {
  if (form === "table") return rowOf(record, include, now);
  return form === "partial" ? partialOf(record) : summaryOf(record);
}

/** Make the object of a watch event; a table's columns come with the first one only. */
export function watchObject(
  { form, include }: Representation,
  record: DumpRecord,
  revision: number,
  now: number,
  isFirst: boolean,
): Json {
  if (form === "table") return oneRow(rowOf(record, include, now, revision), String(revision), isFirst);
  return form === "partial" ? partialOf(record, revision) : summaryOf(record, revision);
}

/** Make the object of a bookmark. */
export function bookmarkObject({ form }: Representation, metadata: Json): Json {
  if (form === "table") {
    const object = { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
    return oneRow({ cells: columnDefinitions().map(() => ""), object }, String(metadata["resourceVersion"]), false);
  }
  if (form === "partial") return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
  return { kind: KIND, apiVersion: GROUP_VERSION, metadata };
}

/** Make the answer for one dump. */
export function singleObject(representation: Representation, record: DumpRecord, detail: Json, now: number): Json {
  if (representation.form === "object") return detail;
  if (representation.form === "partial") return partialOf(record);
  return oneRow(rowOf(record, representation.include, now), String(record.revision), true);
}

function oneRow(row: Json, resourceVersion: string, withColumns: boolean): Json {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: { resourceVersion },
    columnDefinitions: withColumns ? columnDefinitions() : [],
    rows: [row],
  };
}
