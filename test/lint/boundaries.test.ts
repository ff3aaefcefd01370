import { execFile } from "node:child_process";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");

/** Offending files, each with the one rule that must fire on it. */
const offending: Record<string, { code: string; source: string; message?: RegExp }> = {
  "packages/cdc/src/self/imports-program.ts": {
    code: "cdh(imports)",
    source: 'export { x } from "@cdh/cdh-upload";',
    message: /no program imports another/,
  },
  "packages/cdh-upload/src/queue/imports-program-by-path.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../../cdh-inspect/src/unpack/unpack.ts";\nexport const y = x;',
    message: /no program imports another/,
  },
  "packages/core/src/service/log.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../../cdc/src/main.ts";\nexport const y = x;',
    message: /core imports no program/,
  },
  "packages/core/src/base/signals.ts": {
    code: "cdh(imports)",
    source: 'export { demangle } from "@cdh/unwind/names/demangle";',
    message: /core does not import unwind/,
  },
  "packages/unwind/src/elf/imports-program.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../../cdh-inspect/src/unpack/unpack.ts";\nexport const y = x;',
    message: /unwind imports no program/,
  },
  "packages/core/src/base/units.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../files/free-space.ts";\nexport const y = x;',
    message: /core's base\/ must not know of files\//,
  },
  "packages/core/src/elf/facts.ts": {
    code: "cdh(imports)",
    source: 'import type { X } from "../bundle/manifest.ts";\nexport type Y = X;',
    message: /core's elf\/ must not know of bundle\//,
  },
  "packages/core/src/store/store.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../cli/progress.ts";\nexport const y = x;',
    message: /core's store\/ must not know of cli\//,
  },
  "packages/core/src/store/lazily.ts": {
    code: "cdh(imports)",
    source: 'export const y = (): Promise<unknown> => import("../cli/cli.ts");',
    message: /core's store\/ must not know of cli\//,
  },
  "packages/core/src/spool/by-name.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "@cdh/core/errors";\nexport const y = x;',
    message: /core names its own files by their paths/,
  },
  "packages/core/src/container/from-testing.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../testing/fake.ts";\nexport const y = x;',
    message: /only tests/,
  },
  "packages/cdc/src/self/imports-test-helper.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../../../../test/helpers/built.ts";\nexport const y = x;',
    message: /nothing from outside/,
  },
  ...Object.fromEntries(
    ["execa", "ini", "yazl", "yauzl", "@aws-sdk/client-s3", "@smithy/types", "clipanion", "node:child_process"].map(
      (library) => [
        `packages/cdh-inspect/src/read/uses-${library.replaceAll(/\W/g, "-")}.ts`,
        {
          code: "cdh(imports)",
          source: `import * as x from "${library}";\nexport const y = x;`,
          message: /belongs to/,
        },
      ],
    ),
  ),
  "packages/cdc/src/self/named-process.ts": {
    code: "cdh(imports)",
    source: 'import { env } from "node:process";\nexport const y = env;',
  },
  "packages/core/src/brand-new/x.ts": { code: "cdh(layered)", source: "export const y = 1;" },
  "packages/cdc/src/self/env.ts": { code: "cdh(ambient)", source: 'export const y = process.env["HOME"];' },
  "packages/cdc/src/self/env-in-brackets.ts": { code: "cdh(ambient)", source: 'export const y = process["env"];' },
  "packages/cdh-sysctl/src/node/exit.ts": {
    code: "cdh(ambient)",
    source: "export function y(): never {\n  process.exit(3);\n}",
  },
  "packages/core/src/store/prints.ts": {
    code: "cdh(ambient)",
    source: 'export function y(): void {\n  console.log("x");\n}',
  },
  "packages/core/src/spool/now.ts": { code: "cdh(ambient)", source: "export const y = Date.now();" },
  "packages/core/src/spool/today.ts": { code: "cdh(ambient)", source: "export const y = new Date();" },
  "packages/cdh-upload/src/queue/unclamped.ts": {
    code: "cdh(timers)",
    source: "export const y = (ms: number): unknown => setTimeout(() => {}, ms);",
  },
  "packages/cdh-upload/src/queue/unclamped-interval.ts": {
    code: "cdh(timers)",
    source: "export const y = (s: { ms: number }): unknown => globalThis.setInterval(() => {}, s.ms * 2);",
  },
  "packages/cdh-upload/src/queue/unclamped-signal.ts": {
    code: "cdh(timers)",
    source: "export const y = (ms: number): unknown => AbortSignal.timeout(Math.max(1, ms));",
  },
  "packages/cdh-upload/src/queue/unclamped-socket.ts": {
    code: "cdh(timers)",
    source:
      'import type { Socket } from "node:net";\nexport const y = (s: Socket, ms: number): unknown => s.setTimeout(ms);',
  },
  "packages/cdh-upload/src/queue/own-timer.ts": {
    code: "cdh(imports)",
    source: 'import { setTimeout as delay } from "node:timers/promises";\nexport const y = (): unknown => delay(1);',
    message: /clock/,
  },
  "packages/cdc/src/commands/env.ts": { code: "cdh(ambient)", source: "export const y = process.env;" },
  "packages/cdc/src/self/line-start.ts": {
    source: "export const uid = (text: string): string | undefined => /^Uid:\\t(.*)/m.exec(text)?.[1];",
    code: "cdh(line-anchors)",
  },
  "packages/cdc/src/self/made-line-start.ts": {
    source: 'export const field = (text: string, name: string): boolean => new RegExp(`^${name}:`, "gm").test(text);',
    code: "cdh(line-anchors)",
  },
  "packages/cdh-upload/src/queue/parses.ts": {
    code: "cdh(bounded-json)",
    source: "export const y = (text: string): unknown => JSON.parse(text);",
  },
  "packages/cdh-inspect/src/read/fetches.ts": {
    code: "cdh(bounded-json)",
    source: "export const y = (answer: Response): Promise<unknown> => answer.json();",
  },
  "packages/core/src/report/widest.ts": {
    code: "cdh(spread-data)",
    source: "export const y = (widths: number[]): number => Math.max(0, ...widths);",
  },
  "packages/core/src/report/adds.ts": {
    code: "cdh(spread-data)",
    source: "export const y = (to: string[], from: string[]): number => to.push(...from.slice(1));",
  },
  "packages/core/src/report/chosen.ts": {
    code: "cdh(spread-data)",
    source: "export const y = (to: string[], from?: string[]): number => to.push(...(from === undefined ? [] : from));",
  },
  "packages/cdh-upload/src/queue/makes.ts": {
    code: "cdh(folders)",
    source:
      'import { mkdir } from "node:fs/promises";\nexport const y = (): Promise<unknown> => mkdir("a", { recursive: true });',
  },
  "packages/cdh-upload/src/queue/waits-before-closing.ts": {
    code: "cdh(held-files)",
    source:
      'import { open } from "node:fs/promises";\nexport async function y(): Promise<number> {\n  const file = await open("a");\n  const { size } = await file.stat();\n  await file.close();\n  return size;\n}',
    message: /before the try/,
  },
  "packages/cdh-upload/src/queue/opens-without-a-name.ts": {
    code: "cdh(held-files)",
    source:
      'import { openRegularFile as read } from "@cdh/core/files/regular-file";\nexport const y = async (): Promise<void> => {\n  use(await read("a"));\n};\nexport function use(file: unknown): unknown {\n  return file;\n}',
    message: /give it a name/,
  },
  "packages/cdh-api/src/index/parses-here.ts": {
    code: "cdh(answering-thread)",
    source: 'import { parseManifest as y } from "@cdh/core/bundle/reader-manifest";\nexport const z = y;',
  },
  "packages/cdh-api/src/http/exchange.ts": {
    code: "cdh(answering-thread)",
    source: 'import { tryParseJson } from "@cdh/core/json";\nexport const y = tryParseJson;',
  },
  "packages/core/src/report/applies.ts": {
    code: "cdh(spread-data)",
    source: "export const y = (codes: number[]): string => String.fromCharCode.apply(undefined, codes);",
  },
  "packages/cdc/src/self/private-word.ts": {
    code: "cdh(private-members)",
    source: "export class Y {\n  private x = 1;\n  get y(): number {\n    return this.x;\n  }\n}",
  },
  "packages/cdc/src/self/default-export.ts": {
    code: "import(no-default-export)",
    source: "export default function y(): void {}",
  },
  "packages/cdc/src/self/cycle-a.ts": {
    code: "import(no-cycle)",
    source: 'import { b } from "./cycle-b.ts";\nexport const a = (): unknown => b;',
  },
  "packages/cdc/src/self/cycle-b.ts": {
    code: "import(no-cycle)",
    source: 'import { a } from "./cycle-a.ts";\nexport const b = (): unknown => a;',
  },
  "packages/cdc/src/self/hides-global.ts": {
    code: "eslint(no-shadow)",
    source: "export function y(process: { pid: number }): number {\n  return process.pid;\n}",
  },
  "packages/cdc/src/self/type-cycle-a.ts": {
    code: "import(no-cycle)",
    source: 'import type { B } from "./type-cycle-b.ts";\nexport interface A {\n  b: B;\n}',
  },
  "packages/cdc/src/self/type-cycle-b.ts": {
    code: "import(no-cycle)",
    source: 'import type { A } from "./type-cycle-a.ts";\nexport interface B {\n  a: A;\n}',
  },
  "packages/cdc/src/self/looks-up.ts": {
    code: "cdh(imports)",
    source: 'import type { X } from "../keep/describe.ts";\nexport type Y = X;',
    message: /cdc's self\/ must not know of keep\//,
  },
  "packages/cdh-api/src/index/looks-aside.ts": {
    code: "cdh(imports)",
    source: 'import { x } from "../auth/caller.ts";\nexport const y = x;',
    message: /cdh-api's index\/ must not know of auth\//,
  },
  "packages/cdh-api/src/brand-new/x.ts": { code: "cdh(layered)", source: "export const y = 1;" },
  "packages/cdc/src/self/any.ts": { code: "typescript(no-explicit-any)", source: "export const y: any = 1;" },
  "packages/cdc/src/self/focused.test.ts": {
    code: "vitest(no-focused-tests)",
    source: 'import { expect, it } from "vitest";\nit.only("x", () => {\n  expect(1).toBe(1);\n});',
  },
};

/** The same things in the places where they belong: nothing may fire. */
const fine: Record<string, string> = {
  "packages/cdc/src/self/line-by-newline.ts":
    'export const uid = (text: string): boolean => /(?<![^\\n])Uid:\\t/.test(text) && new RegExp("^x", "u").test(text);',
  "packages/core/src/service/exec.ts":
    'import { execa } from "execa";\nimport { spawn } from "node:child_process";\nexport const y = [execa, spawn, process.env];',
  "packages/core/src/base/clock.ts": "export const y = (): number => Date.now() + new Date().getTime();",
  "packages/cdh-upload/src/queue/closes.ts":
    'import { open, type FileHandle } from "node:fs/promises";\nexport async function y(): Promise<number | undefined> {\n  const file = await open("a").catch(() => undefined);\n  if (file === undefined) return undefined;\n  try {\n    return (await file.stat()).size;\n  } finally {\n    await file.close();\n  }\n}\nexport const z = async (): Promise<FileHandle> => await open("b");',
  "packages/cdh-upload/src/queue/clamped.ts":
    'import { timerMs } from "@cdh/core/clock";\nconst A_MS = 5;\nexport const y = (ms: number): unknown => [setTimeout(() => {}, timerMs(ms)), setInterval(() => {}, A_MS), AbortSignal.timeout(10)];',
  "packages/core/src/service/config.ts":
    'import ini from "ini";\nimport { x } from "../base/units.ts";\nexport const y = [ini, x];',
  "packages/core/src/service/env-file.ts": 'import ini from "ini";\nexport const y = ini;',
  "packages/core/src/bundle/writer.ts":
    'import yazl from "yazl";\nimport { x } from "./naming.ts";\nexport const y = [yazl, x];',
  "packages/core/src/base/json.ts": "export const y = (text: string): unknown => JSON.parse(text);",
  "packages/core/src/report/passes-on.ts":
    'export const y = (...keys: string[]): string[] => [...keys].concat(Array.of(...keys, ...(keys.length > 1 ? ["x"] : [])));',
  "packages/cdh-api/src/manifests/tasks.ts":
    'import { parseManifest } from "@cdh/core/bundle/reader-manifest";\nexport const y = parseManifest;',
  "packages/cdh-api/src/auth/front-proxy.ts":
    'import { parseJson } from "@cdh/core/json";\nexport const y = parseJson;',
  "packages/core/src/bundle/reader.ts": 'import yauzl from "yauzl";\nexport const y = yauzl;',
  "packages/core/src/store/s3/client.ts": 'import { S3Client } from "@aws-sdk/client-s3";\nexport const y = S3Client;',
  "packages/core/src/cli/cli.ts":
    'import { Cli } from "clipanion";\nexport function y(): void {\n  process.exit(process.env["X"] === "" ? 1 : Number(Cli));\n}',
  "packages/core/src/cli/output.ts": 'import { x } from "../store/store.ts";\nexport const y = new Date(x);',
  "packages/core/src/testing/fake.ts": 'import { x } from "../cli/cli.ts";\nexport const y = [x, process.env];',
  "packages/cdc/src/self/private-sign.ts":
    "export class Y {\n  readonly #x: number;\n  private constructor(x: number) {\n    this.#x = x;\n  }\n  static make(): number {\n    return new Y(1).#x;\n  }\n}",
  "packages/cdc/src/keep/looks-down.ts":
    'import { x } from "../self/native.ts";\nimport { z } from "./describe.ts";\nexport const y = [x, z];',
  "packages/cdc/src/main.ts": 'import { x } from "@cdh/core/cli";\nconsole.log(x, process.env);\nprocess.exit(0);',
  "packages/cdc/src/commands/replay.ts": 'import { Command } from "clipanion";\nexport const y = Command;',
  "packages/cdc/src/self/drain.test.ts":
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
