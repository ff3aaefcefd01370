import { describe, expect, it } from "vitest";
import { fill, ListOf, Literal, Opaque, optional, pick, shape, tryFindMisfit, Words } from "./shape.ts";

const FIELDS = shape({
  version: new Literal(1),
  name: "text",
  count: optional("number"),
  mode: new Words(["fast", "slow"], "slow"),
  inner: { kind: "text", flag: "flag" },
  maybe: optional({ names: "texts", labels: optional("textMap") }),
  items: new ListOf(shape({ id: "number", note: optional("text") })),
  other: optional(new Opaque<{ any: string }>()),
});

describe("shapes", () => {
  it.each([
    [{}, undefined],
    [{ name: "a", unknown: [1], mode: "newer", items: [{ id: 1 }], other: { x: 1 } }, undefined],
    [{ version: 2 }, "version is not what it must be (1)"],
    [{ name: 1 }, "name is not what it must be (text)"],
    [{ mode: 1 }, "mode is not what it must be (text)"],
    [{ count: "1" }, "count is not what it must be (number)"],
    [{ inner: [] }, "inner is no object"],
    [{ inner: { flag: "yes" } }, "inner.flag is not what it must be (flag)"],
    [{ maybe: { names: ["a", 1] } }, "maybe.names is not what it must be (texts)"],
    [{ maybe: { labels: { a: 1 } } }, "maybe.labels is not what it must be (textMap)"],
    [{ items: {} }, "items is no list"],
    [{ items: [null] }, "items[0] is no object"],
    [{ items: [{ id: 1 }, { id: "x" }] }, "items[1].id is not what it must be (number)"],
    [{ other: "x" }, "other is not what it must be (object)"],
  ])("looks at %j", (value, misfit) => {
    expect(tryFindMisfit(value, FIELDS)).toBe(misfit);
  });

  it("gives what is required and absent, and leaves out items that lack something", () => {
    expect(fill({ maybe: {}, items: [{ note: "x" }, { id: 2 }], newer: true }, FIELDS)).toEqual({
      version: 1,
      name: "",
      mode: "slow",
      inner: { kind: "", flag: false },
      maybe: { names: [] },
      items: [{ id: 2 }],
      newer: true,
    });
  });

  it("picks known fields in their order", () => {
    const given = { flag: true, kind: "a", more: 1 };
    expect(JSON.stringify(pick(FIELDS.inner, given))).toBe('{"kind":"a","flag":true}');
    expect(pick(shape({ a: optional("text"), b: "text" }), { a: undefined, b: "" })).toEqual({ b: "" });
  });
});
