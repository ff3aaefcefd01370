import { execFile } from "node:child_process";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");

/** Offending files, each with the one rule that must fire on it. */
const offending: Record<string, { code: string; source: string; message?: RegExp }> = {
  "packages/cdc/src/imports-program.ts": {
    code: "cdh(imports)",
    source: 'export { x } from "@cdh/cdh-upload";',
    message: /no program imports another/,
  },
  "packages/cdh-upload/src/imports-program-by-path.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../cdh-inspect/src/unpack.ts";\nexport const y = x;',
    message: /no program imports another/,
  },
  "packages/core/src/log.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../cdc/src/main.ts";\nexport const y = x;',
    message: /core imports no program/,
  },
  "packages/core/src/units.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "./clock.ts";\nexport const y = x;',
    message: /layer 0 \(units.ts\) must not import layer 1/,
  },
  "packages/core/src/bundle/naming.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "./reader.ts";\nexport const y = x;',
    message: /layer 0 \(bundle\/naming.ts\) must not import layer 2/,
  },
  "packages/core/src/roots.ts": {
    code: "cdh(imports)",
    source: 'import type { X } from "./spool/layout.ts";\nexport type Y = X;',
    message: /layer 1 .* layer 2/,
  },
  "packages/core/src/spool/layout.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../output.ts";\nexport const y = x;',
    message: /layer 2 .* layer 3/,
  },
  "packages/core/src/store/lazily.ts": {
    code: "cdh(imports)",
    source: 'export const y = (): Promise<unknown> => import("../cli.ts");',
    message: /layer 2 .* layer 3/,
  },
  "packages/core/src/container/from-testing.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../testing/fake.ts";\nexport const y = x;',
    message: /only tests/,
  },
  "packages/cdc/src/imports-test-helper.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../../test/helpers/built.ts";\nexport const y = x;',
    message: /nothing from outside/,
  },
  ...Object.fromEntries(
    ["execa", "ini", "yazl", "yauzl", "@aws-sdk/client-s3", "@smithy/types", "clipanion", "node:child_process"].map(
      (library) => [
        `packages/cdh-inspect/src/uses-${library.replaceAll(/\W/g, "-")}.ts`,
        {
          code: "cdh(imports)",
          source: `import * as x from "${library}";\nexport const y = x;`,
          message: /belongs to/,
        },
      ],
    ),
  ),
  "packages/cdc/src/named-process.ts": {
    code: "cdh(imports)",
    source: 'import { env } from "node:process";\nexport const y = env;',
  },
  "packages/core/src/brand-new/x.ts": { code: "cdh(layered)", source: "export const y = 1;" },
  "packages/cdc/src/env.ts": { code: "cdh(ambient)", source: 'export const y = process.env["HOME"];' },
  "packages/cdc/src/env-in-brackets.ts": { code: "cdh(ambient)", source: 'export const y = process["env"];' },
  "packages/cdh-sysctl/src/exit.ts": {
    code: "cdh(ambient)",
    source: "export function y(): never {\n  process.exit(3);\n}",
  },
  "packages/core/src/store/prints.ts": {
    code: "cdh(ambient)",
    source: 'export function y(): void {\n  console.log("x");\n}',
  },
  "packages/core/src/spool/now.ts": { code: "cdh(ambient)", source: "export const y = Date.now();" },
  "packages/core/src/spool/today.ts": { code: "cdh(ambient)", source: "export const y = new Date();" },
  "packages/cdc/src/commands/env.ts": { code: "cdh(ambient)", source: "export const y = process.env;" },
  "packages/cdc/src/default-export.ts": {
    code: "import(no-default-export)",
    source: "export default function y(): void {}",
  },
  "packages/cdc/src/cycle-a.ts": {
    code: "import(no-cycle)",
    source: 'import { b } from "./cycle-b.ts";\nexport const a = (): unknown => b;',
  },
  "packages/cdc/src/cycle-b.ts": {
    code: "import(no-cycle)",
    source: 'import { a } from "./cycle-a.ts";\nexport const b = (): unknown => a;',
  },
  "packages/cdc/src/any.ts": { code: "typescript(no-explicit-any)", source: "export const y: any = 1;" },
  "packages/cdc/src/focused.test.ts": {
    code: "vitest(no-focused-tests)",
    source: 'import { expect, it } from "vitest";\nit.only("x", () => {\n  expect(1).toBe(1);\n});',
  },
};

/** The same things in the places where they belong: nothing may fire. */
const fine: Record<string, string> = {
  "packages/core/src/exec.ts":
    'import { execa } from "execa";\nimport { spawn } from "node:child_process";\nexport const y = [execa, spawn, process.env];',
  "packages/core/src/clock.ts": "export const y = (): number => Date.now() + new Date().getTime();",
  "packages/core/src/config.ts": 'import ini from "ini";\nimport { x } from "./units.ts";\nexport const y = [ini, x];',
  "packages/core/src/env-file.ts": 'import ini from "ini";\nexport const y = ini;',
  "packages/core/src/bundle/writer.ts":
    'import yazl from "yazl";\nimport { x } from "./naming.ts";\nexport const y = [yazl, x];',
  "packages/core/src/bundle/reader.ts": 'import yauzl from "yauzl";\nexport const y = yauzl;',
  "packages/core/src/store/s3.ts": 'import { S3Client } from "@aws-sdk/client-s3";\nexport const y = S3Client;',
  "packages/core/src/cli.ts":
    'import { Cli } from "clipanion";\nexport function y(): void {\n  process.exit(process.env["X"] === "" ? 1 : Number(Cli));\n}',
  "packages/core/src/output.ts": 'import { x } from "./store/store.ts";\nexport const y = new Date(x);',
  "packages/core/src/testing/fake.ts": 'import { x } from "../cli.ts";\nexport const y = [x, process.env];',
  "packages/cdc/src/main.ts": 'import { x } from "@cdh/core/cli";\nconsole.log(x, process.env);\nprocess.exit(0);',
  "packages/cdc/src/commands/replay.ts": 'import { Command } from "clipanion";\nexport const y = Command;',
  "packages/cdc/src/drain.test.ts":
    'import { expect, it } from "vitest";\nimport yauzl from "yauzl";\nimport { x } from "@cdh/core/testing/fake";\nit("x", () => {\n  expect([yauzl, x, process.env, Date.now()]).toBeDefined();\n});',
  "scripts/some.ts": 'import { spawn } from "node:child_process";\nconsole.log(spawn, process.env, new Date());',
  "test/some.test.ts":
    'import { expect, it } from "vitest";\nit("x", () => {\n  expect(process.env).toBeDefined();\n});',
  "some.config.ts": "export default {};",
};

interface Diagnostic {
  filename: string;
  code: string;
  message: string;
}

let folder: string;
let diagnostics: Diagnostic[];

async function write(file: string, source: string): Promise<void> {
  const target = path.join(folder, file);
  await fs.mkdir(path.dirname(target), { recursive: true });
  await fs.writeFile(target, `${source}\n`);
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "cdh-lint-"));
  await fs.copyFile(path.join(root, ".oxlintrc.json"), path.join(folder, ".oxlintrc.json"));
  await fs.cp(path.join(root, "scripts", "lint"), path.join(folder, "scripts", "lint"), { recursive: true });
  for (const [file, { source }] of Object.entries(offending)) await write(file, source);
  for (const [file, source] of Object.entries(fine)) await write(file, source);
  const output = await new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      [path.join(root, "node_modules", "oxlint", "bin", "oxlint"), "--format=json", "packages", "scripts", "test", "."],
      { cwd: folder, maxBuffer: 1 << 26 },
      (_error, stdout) => resolve(stdout),
    );
  });
  diagnostics = (JSON.parse(output) as { diagnostics: Diagnostic[] }).diagnostics;
});

afterAll(async () => {
  await fs.rm(folder, { recursive: true, force: true });
});

function findingsIn(file: string): Diagnostic[] {
  return diagnostics.filter(({ filename }) => filename === file);
}

describe("a boundary fires on", () => {
  it.each(Object.entries(offending))("%s", (file, { code, message }) => {
    const found = findingsIn(file);
    expect(new Set(found.map((finding) => finding.code))).toEqual(new Set([code]));
    if (message !== undefined) expect(found[0]?.message).toMatch(message);
  });
});

describe("nothing fires on", () => {
  it.each(Object.keys(fine))("%s", (file) => {
    expect(findingsIn(file)).toEqual([]);
  });
});

it("every linted file is accounted for", () => {
  const known = new Set([...Object.keys(offending), ...Object.keys(fine)]);
  const strangers = diagnostics.filter(({ filename }) => !known.has(filename) && !filename.startsWith("scripts/lint/"));
  expect(strangers).toEqual([]);
});
