import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { MANIFEST_FIELDS, TRUNCATED_BY } from "@cdh/core/bundle/manifest";
import { ListOf, Optional, type Shape } from "../../packages/core/src/base/shape.ts";

const root = path.resolve(import.meta.dirname, "..", "..");
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8");

/** Every field of an object, and of those in it. */
function fieldsOf(fields: Shape): string[] {
  return Object.entries(fields).flatMap(([field, declared]) => {
    const kind = declared instanceof Optional ? declared.optionalKind : declared;
    const inner = kind instanceof ListOf ? kind.listItem : kind;
    const isShape = typeof inner === "object" && Object.getPrototypeOf(inner) === Object.prototype;
    return [field, ...(isShape ? fieldsOf(inner as Shape) : [])];
  });
}

it("on-disk.md names every field of the manifest", () => {
  const fields = new Set(fieldsOf(MANIFEST_FIELDS));
  expect(fields.size).toBeGreaterThan(50);
  const page = read("docs/on-disk.md");
  const section = page.slice(page.indexOf("## The manifest"), page.indexOf("## The event file"));
  const named = new Set([...section.matchAll(/`([^`]+)`/g)].flatMap(([, code]) => (code ?? "").split(/[^\w]+/)));
  expect([...fields].filter((field) => !named.has(field))).toEqual([]);
});

it("limits.md explains every reason for a core that is not whole", () => {
  const names = TRUNCATED_BY.knownWords;
  expect(names).toContain("rlimit");
  const page = read("docs/limits.md");
  expect(names.filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([]);
});
