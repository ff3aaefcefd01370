import * as fc from "fast-check";
import { around, hostileText } from "./text.ts";

/** A piece of JSON, described: what is large in it is a number here, so that it can be made smaller. */
export type JsonRecipe =
  | { kind: "raw"; text: string }
  | { kind: "text"; text: string; times: number }
  /** Nested: `open` so many times, and closed again unless `torn`. */
  | { kind: "nest"; open: "[" | '{"a":'; depth: number; torn: boolean }
  /** A list of so many times the same. */
  | { kind: "list"; unit: string; count: number }
  /** An object of so many fields. */
  | { kind: "fields"; unit: string; count: number; sameKey: boolean }
  | { kind: "object"; fields: [string, JsonRecipe][] };

const RAW = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "1",
  "-1",
  "1.5",
  "1e308",
  "1e999",
  "9007199254740993",
  "18446744073709551615",
  '""',
  '"0x0"',
  '"0x7fff12345678"',
  "[]",
  "{}",
  '{"__proto__":{"polluted":1}}',
  '[1,"a",{}]',
  '"\\ud800"',
  "NaN",
  "'x'",
  "[1,]",
  '{"a":1,"a":2}',
  '"\\u0000"',
  "01",
  "\t1\n",
  '"',
];
const UNITS = [
  "{}",
  "[]",
  '""',
  "0",
  "null",
  '{"a":[{}]}',
  '{"registers":{}}',
  '{"path":"/lib/x","start":"0x1000","end":"0x2000"}',
  '{"tid":1,"registers":{"pc":"0x1000"}}',
  '{"step":"a","code":"b"}',
  '"0123456789abcdef"',
];

const leaf: fc.Arbitrary<JsonRecipe> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...RAW).map((text) => ({ kind: "raw" as const, text })) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("text" as const),
      text: hostileText,
      times: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, around(300, 5000, 70_000)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("nest" as const),
      open: fc.constantFrom("[" as const, '{"a":' as const),
      depth: around(16, 32, 64, 4000, 200_000),
      torn: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("list" as const),
      unit: fc.constantFrom(...UNITS),
      count: around(64, 4096, 10_000, 65_536, 130_000, 200_000, 1_000_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("fields" as const),
      unit: fc.constantFrom(...UNITS),
      count: around(64, 4096, 65_536, 200_000),
      sameKey: fc.boolean(),
    }),
  },
);

/** Any JSON, and what only looks like it. */
export const jsonRecipe: fc.Arbitrary<JsonRecipe> = fc.letrec<{ any: JsonRecipe }>((tie) => ({
  any: fc.oneof(
    { weight: 5, arbitrary: leaf },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("object" as const),
        fields: fc.array(fc.tuple(hostileText, tie("any")), { maxLength: 4 }),
      }),
    },
  ),
})).any;

/** Write it out. */
export function writeJson(recipe: JsonRecipe): string {
  switch (recipe.kind) {
    case "raw":
      return recipe.text;
    case "text":
      return JSON.stringify(recipe.text.repeat(recipe.times));
    case "nest": {
      const close = recipe.torn ? "" : (recipe.open === "[" ? "]" : "}").repeat(recipe.depth);
      return `${recipe.open.repeat(recipe.depth)}${recipe.open === "[" ? "" : "0"}${close}`;
    }
    case "list":
      return `[${Array.from({ length: recipe.count }, () => recipe.unit).join(",")}]`;
    case "fields":
      return `{${Array.from({ length: recipe.count }, (_, index) => `"k${recipe.sameKey ? "" : index}":${recipe.unit}`).join(",")}}`;
    case "object":
      return `{${recipe.fields.map(([key, value]) => `${JSON.stringify(key)}:${writeJson(value)}`).join(",")}}`;
  }
}

/** A document with some of its fields replaced; a path is `a.b.c`. */
export interface ChangedJson {
  changes: [string, JsonRecipe][];
  /** Bytes before and after it. */
  before: string;
  after: string;
}

/** Change some of these fields. */
export function changedJson(paths: readonly string[]): fc.Arbitrary<ChangedJson> {
  return fc.record({
    changes: fc.array(fc.tuple(fc.constantFrom(...paths), jsonRecipe), { minLength: 1, maxLength: 3 }),
    before: fc.oneof({ weight: 12, arbitrary: fc.constant("") }, fc.constantFrom("\ufeff", " \r\n", "\0", "[")),
    after: fc.oneof({ weight: 12, arbitrary: fc.constant("") }, fc.constantFrom("\n", "\0", "]", "{}")),
  });
}

/** Write a document with its changes. Text is put in by place, so that what is no JSON can be written too. */
export function writeChangedJson(document: object, { changes, before, after }: ChangedJson): string {
  const copy = structuredClone(document) as Record<string, unknown>;
  for (const [index, [path]] of changes.entries()) setAt(copy, path.split("."), `@@${index}@@`);
  const text = JSON.stringify(copy).replaceAll(/"@@(\d+)@@"/g, (_all, index: string) =>
    writeJson(changes[Number(index)]?.[1] ?? { kind: "raw", text: "0" }),
  );
  return `${before}${text}${after}`;
}

function setAt(object: Record<string, unknown>, [first = "", ...rest]: string[], value: unknown): void {
  if (rest.length === 0) {
    object[first] = value;
    return;
  }
  const inner = object[first];
  const next = typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>) : {};
  object[first] = next;
  setAt(next, rest, value);
}
