import { expect, it } from "vitest";
import { libraryField } from "./library-field.ts";

it("names library, field and type of what an update has taken away", () => {
  const object = { count: 1, call: () => 2, list: [], nothing: null };
  expect(libraryField(object, "count", "number", "lib's Thing")).toBe(1);
  expect(libraryField(object, "list", "object", "lib's Thing")).toBe(object.list);
  for (const [field, type] of [
    ["gone", "number"],
    ["count", "function"],
    ["nothing", "object"],
  ] as const) {
    expect(() => libraryField(object, field, type, "lib's Thing")).toThrow(
      `lib's Thing has no ${type} ${field} any more`,
    );
  }
});
