import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { checkTree } from "./tree.ts";

let folder: string;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "cdh-tree-"));
});

afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true });
});

async function check(file: string, text: string): Promise<string[]> {
  await fs.mkdir(path.dirname(path.join(folder, file)), { recursive: true });
  await fs.writeFile(path.join(folder, file), text);
  return checkTree(folder, [file]).map(({ line, message }) => `${line}: ${message}`);
}

it.each([
  ["pnpm-lock.yaml", "a:\n    tarball: x.tgz\n"],
  ["scripts/toolchain/package-lock.json", '{\n  "resolved": "x"\n}'],
  ["package-lock.json", '{\n  "x": "https://registry.example/x.tgz"\n}'],
])("finds the host that %s names", async (file, text) => {
  expect(await check(file, text)).toEqual(["2: a lock file names a host"]);
});

// Put together here, so that this file itself stays clean.
it.each(["work/main/x", "home/alice/x", "root/.npmrc", "Users/Alice/x"])("finds the machine path %s", async (rest) => {
  expect(await check("docs/x.md", `\nsee \`/${rest}\``)).toEqual(["2: a path of one machine"]);
});

it.each([
  "/var/mnt/core-dump-handler",
  "/home/kubernetes/bin",
  "https://example.com/home/alice",
  "${dir}/root/x",
  "a/root/b",
])("accepts %s", async (text) => {
  expect(await check("docs/x.md", text)).toEqual([]);
});

it("leaves binary files out", async () => {
  expect(await check("x.zip", `\0/${"work/main"}/x`)).toEqual([]);
});
