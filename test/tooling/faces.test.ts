import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { REPOSITORY } from "../helpers/repository.ts";

const manifest = JSON.parse(fs.readFileSync(path.join(REPOSITORY, "packages/core/package.json"), "utf8")) as {
  exports: Record<string, string>;
};
const faces = Object.entries(manifest.exports).filter(([name]) => !name.includes("*"));

it("core's export map names files, and nothing as a whole but what tests use", () => {
  expect(Object.keys(manifest.exports).filter((name) => name.includes("*"))).toEqual(["./testing/*"]);
  for (const [name, file] of faces)
    expect(fs.existsSync(path.join(REPOSITORY, "packages/core", file)), name).toBe(true);
});

it("each face of core is used by another package or a script: what is not is private", () => {
  const used = new Set<string>();
  for (const file of fs.globSync(["packages/*/src/**/*.ts", "scripts/**/*.ts"], { cwd: REPOSITORY })) {
    if (file.startsWith("packages/core/") || file.endsWith(".test.ts") || file.includes("/testing/")) continue;
    const source = fs.readFileSync(path.join(REPOSITORY, file), "utf8");
    for (const [, name = ""] of source.matchAll(/"@cdh\/core\/([^"]+)"/g)) used.add(`./${name}`);
  }
  expect(faces.map(([name]) => name).filter((name) => !used.has(name))).toEqual([]);
});
