import type { Json } from "./json.ts";

/** Words of the part of JSON Schema that OpenAPI 2 and 3 share. */
export const text = (description: string): Json => ({ type: "string", description });
export const time = (description: string): Json => ({ type: "string", format: "date-time", description });
export const int = (description: string): Json => ({ type: "integer", format: "int64", description });
export const flag = (description: string): Json => ({ type: "boolean", description });
export const object = (description: string, properties: Record<string, Json>): Json => ({
  type: "object",
  description,
  properties,
});
export const list = (description: string, items: Json): Json => ({ type: "array", description, items });
export const texts = (description: string): Json => ({
  type: "object",
  description,
  additionalProperties: { type: "string" },
});

/** What every object has. */
export const KINDS: Record<string, Json> = {
  apiVersion: text("Version of the object's schema."),
  kind: text("Kind of the object."),
};
