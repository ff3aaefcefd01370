import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");
const read = (file: string): string => fs.readFileSync(path.join(root, file), "utf8");

/** The types of the manifest, without comments. */
const types = read("packages/core/src/bundle/manifest.ts").replaceAll(/\/\*\*.*?\*\//gs, "");

it("on-disk.md names every field of the manifest", () => {
  const fields = new Set([...types.matchAll(/(?<=[\s{;])(\w+)\??: /g)].map(([, field]) => field ?? ""));
  expect(fields.size).toBeGreaterThan(50);
  const page = read("docs/on-disk.md");
  const section = page.slice(page.indexOf("## The manifest"), page.indexOf("## The event file"));
  const named = new Set([...section.matchAll(/`([^`]+)`/g)].flatMap(([, code]) => (code ?? "").split(/[^\w]+/)));
  expect([...fields].filter((field) => !named.has(field))).toEqual([]);
});

it("limits.md explains every reason for a core that is not whole", () => {
  const [, reasons = ""] = /type TruncatedBy =([^;]+);/.exec(types) ?? [];
  const names = [...reasons.matchAll(/"(\w+)"/g)].map(([, name]) => name ?? "");
  expect(names).toContain("rlimit");
  const page = read("docs/limits.md");
  expect(names.filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([]);
});
