import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { dist, root } from "./paths.ts";

/** Files outside a program's own folder that decide what is built. */
const SHARED = [
  "packages/core",
  "packages/unwind",
  "scripts/build",
  "scripts/build.ts",
  "scripts/toolchain/package-lock.json",
  "pnpm-lock.yaml",
];

function* filesBelow(file: string): Generator<string> {
  if (!fs.statSync(file).isDirectory()) {
    yield file;
    return;
  }
  for (const name of fs.readdirSync(file).toSorted()) {
    if (name !== "node_modules" && !name.endsWith(".test.ts")) yield* filesBelow(path.join(file, name));
  }
}

/** Hash everything that a program is built from, and whatever else decides the outcome. */
export function hashInputs(program: string, ...facts: string[]): string {
  const hash = createHash("sha256").update(facts.join("\0"));
  for (const shared of [...SHARED, `packages/${program}`]) {
    for (const file of filesBelow(path.join(root, shared))) {
      hash.update(`${path.relative(root, file)}\0`).update(fs.readFileSync(file));
    }
  }
  return hash.digest("hex");
}

function stampFile(name: string): string {
  return path.join(dist, ".stamps", name);
}

/** Tell whether a build of exactly these inputs is there, outputs included. */
export function isFresh(name: string, hash: string, outputs: readonly string[]): boolean {
  try {
    return fs.readFileSync(stampFile(name), "utf8") === hash && outputs.every((file) => fs.existsSync(file));
  } catch {
    return false;
  }
}

/** Remember what was built. */
export function writeStamp(name: string, hash: string): void {
  fs.mkdirSync(path.dirname(stampFile(name)), { recursive: true });
  fs.writeFileSync(stampFile(name), hash);
}
