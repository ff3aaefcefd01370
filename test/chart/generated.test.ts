import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderReadme, renderSchema } from "../../scripts/chart/render.ts";
import { readValues } from "../../scripts/chart/values.ts";
import { CHART } from "./helm.ts";

const read = (name: string): string => readFileSync(join(CHART, name), "utf8");

describe("what is made of values.yaml", () => {
  const values = readValues(read("values.yaml"));

  it("is up to date: node scripts/bootstrap.mjs -- node scripts/chart/generate.ts", () => {
    expect(read("values.schema.json")).toBe(renderSchema(values));
    expect(read("README.md")).toBe(renderReadme(read("README.md"), values));
  });

  it("is closed at every level", () => {
    const open: string[] = [];
    const look = (schema: Record<string, unknown>, path: string): void => {
      const { properties } = schema as { properties?: Record<string, Record<string, unknown>> };
      if (properties === undefined) return;
      if (schema["additionalProperties"] !== false) open.push(path);
      for (const [name, below] of Object.entries(properties)) look(below, `${path}.${name}`);
    };
    look(JSON.parse(read("values.schema.json")) as Record<string, unknown>, "");
    expect(open).toEqual([]);
  });

  it("needs a comment for every value", () => {
    expect(() => readValues("a: 1\n")).toThrow(/a has no comment/);
    expect(() => readValues("# -- A.\n# @schema {x}\na: 1\n")).toThrow(/a: its @schema line/);
    expect(readValues("g:\n  # -- Two\n  # lines.\n  a: 1\n")).toMatchObject([
      { path: ["g", "a"], doc: "Two lines.", schema: { type: "integer" } },
    ]);
  });
});
