import type { Json } from "./json.ts";
import type { Resource } from "./resource.ts";

/** How much of each object a table carries. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** Describe the columns. */
export function columnDefinitions({ columns }: Pick<Resource<never>, "columns">): Json[] {
  return columns.map(({ name, type, format = "", description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

/** Make the row of an object. */
export function rowOf<Item>(
  resource: Resource<Item>,
  item: Item,
  { include, now, revision }: { include: IncludeObject; now: number; revision?: number },
): Json {
  return {
    cells: resource.columns.map(({ cell }) => cell(item, now)),
    ...(include === "None"
      ? {}
      : { object: include === "Object" ? resource.summaryOf(item, revision) : partialOf(resource, item, revision) }),
  };
}

/** Make the object of which only the metadata is wanted. */
export function partialOf<Item>(resource: Resource<Item>, item: Item, revision?: number): Json {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: resource.metadataOf(item, revision),
  };
}
