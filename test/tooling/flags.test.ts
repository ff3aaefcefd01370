import fs from "node:fs";
import path from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { SettingsTable } from "@cdh/core/config";
import { apiSettings } from "../../packages/cdh-api/src/settings.ts";
import { sysctlSettings } from "../../packages/cdh-sysctl/src/settings.ts";
import { uploadSettings } from "../../packages/cdh-upload/src/settings.ts";
import { notBuilt, runBuilt, type Program } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { verbsIn } from "../helpers/verbs.ts";

const place = scratchDirectory("flags");
/** Milliseconds for dozens of program starts, on a machine that has much to do. */
const STARTS_MS = 300_000;
const PROGRAMS: Program[] = ["cdc", "cdh-sysctl", "cdh-upload", "cdh-inspect", "cdh-api"];
const env = { PATH: process.env["PATH"] ?? "", COLUMNS: "500" };

const TABLES: [Program, SettingsTable, string[]][] = [
  ["cdh-sysctl", sysctlSettings, ["install", "restore", "status", "doctor", "watch"]],
  ["cdh-upload", uploadSettings, ["run", "sweep", "check"]],
  ["cdh-api", apiSettings, ["serve", "prune"]],
];

/** A command of a cloud's own tool, to the end of the hint: its flags are not ours. */
const CLOUD_COMMAND = /\b(?:aws|az|gcloud) .*/;

vi.setConfig({ testTimeout: STARTS_MS });

const pages = new Map<string, Promise<string>>();

/** A help page of a built program; the first page when no verb is given. */
function helpOf(program: Program, ...words: string[]): Promise<string> {
  const key = [program, ...words].join(" ");
  const page = pages.get(key) ?? runBuilt(program, [...words, "--help"], { env }).then(({ stdout }) => stdout);
  pages.set(key, page);
  return page;
}

async function verbsOf(program: Program): Promise<string[]> {
  return verbsIn(await helpOf(program));
}

/** Flags that a program's help pages list, over all verbs. */
async function flagsOf(program: Program): Promise<Set<string>> {
  const flags = new Set(["--help", "--version", "-h", "-v"]);
  for (const verb of await verbsOf(program)) {
    const options = /\nOptions\n\n(.*?)\n\n/s.exec(await helpOf(program, ...verb.split(" ")))?.[1] ?? "";
    for (const [names] of options.matchAll(/(?<=^|\n) {2}(-\S+)/g))
      for (const name of names.trim().split(",")) flags.add(name);
  }
  return flags;
}

describeUnless(notBuilt(...PROGRAMS), "flags of the built programs", () => {
  describe.each(TABLES)("%s", (program, table, verbs) => {
    it("has each flag of its table, with the table's word and help", async () => {
      const texts = (await Promise.all(verbs.map((verb) => helpOf(program, verb)))).join("\n");
      const declared = Object.values(table).filter(({ flag }) => flag !== undefined);
      expect(declared.length).toBeGreaterThan(1);
      for (const { flag = "", word, env: name, doc } of declared) {
        const shown = `${flag}${word === undefined ? "" : ` ${word}`} `;
        const line = texts.split("\n").find((candidate) => candidate.trim().startsWith(shown));
        expect(line?.trim(), flag).toBe(
          `${shown.trim()}${line?.slice(2 + shown.length - 1).match(/^ */)?.[0] ?? ""}${doc.replace(/\.$/, "")} (${name})`,
        );
      }
    });

    it.each(verbs)("%s --print-config prints the same in each form, and does nothing else", async (verb) => {
      const ask = (format: string): ReturnType<typeof runBuilt> =>
        runBuilt(program, [verb, "--print-config", "-o", format], { env: { ...env, CORE_DIR: place } });
      const [json, jsonl, text] = await Promise.all([ask("json"), ask("jsonl"), ask("table")]);
      expect([json, jsonl, text].map(({ exitCode, stderr }) => `${exitCode}${stderr}`)).toEqual(["0", "0", "0"]);
      const { settings } = JSON.parse(json.stdout) as { settings: Record<string, string>[] };
      expect(settings.map(({ name }) => name)).toEqual(Object.values(table).map((setting) => setting.env));
      for (const row of settings) expect(Object.keys(row)).toEqual(["name", "value", "source", "doc"]);
      expect(
        jsonl.stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as unknown),
      ).toEqual(settings);
      const [head, ...rows] = text.stdout.trimEnd().split("\n");
      expect(head?.split(/ +/)).toEqual(["SETTING", "VALUE", "SOURCE"]);
      expect(rows.map((row) => row.split(" ")[0])).toEqual(settings.map(({ name }) => name));
      const coreDir = settings.find(({ name }) => name === "CORE_DIR");
      if (coreDir !== undefined) expect(coreDir).toMatchObject({ value: place, source: "environment" });
    });

    it("refuses -o of another kind", async () => {
      const { exitCode, stderr } = await runBuilt(program, [verbs[0] ?? "", "--print-config", "-o", "xml"], { env });
      expect(`${exitCode} ${stderr}`).toMatch(/^2 .*-o xml: none of table, json, jsonl/);
    });
  });

  it("a wrong setting's hint names a flag that the program has", async () => {
    const wrong: [Program, string[], Record<string, string>][] = [
      ["cdh-upload", ["check"], { UPLOAD_CONCURRENCY: "many" }],
      ["cdh-api", ["prune"], { DOWNLOADS_MAX: "many" }],
      ["cdh-inspect", ["ls", "s3://bucket"], { STORE_TIMEOUT: "long" }],
    ];
    for (const [program, args, more] of wrong) {
      const { exitCode, stderr } = await runBuilt(program, args, { env: { ...env, ...more } });
      expect(`${exitCode} ${stderr}`).toMatch(/^10 .*invalid settings/);
      const flags = await flagsOf(program);
      for (const [flag] of stderr.matchAll(/(?<=hint:.*)--[a-z][a-z-]+/g)) expect([...flags]).toContain(flag);
    }
  });

  it("no hint in the sources names a flag that its program lacks", async () => {
    let count = 0;
    const declaredIn = (source: string): string[] =>
      [...source.matchAll(/\("(?:-\w,)?(--[a-z-]+)"/g)].map(([, flag = ""]) => flag);
    const cli = fs.readFileSync(path.join(REPOSITORY, "packages/core/src/cli/cli.ts"), "utf8");
    for (const name of fs.globSync("packages/*/src/**/*.ts", { cwd: REPOSITORY })) {
      if (name.endsWith(".test.ts") || name.includes("/testing/")) continue;
      const [, folder = ""] = name.split("/");
      const source = fs.readFileSync(path.join(REPOSITORY, name), "utf8");
      for (const [hint] of source.matchAll(/\bhint: (?:[^\n]*\? )?(?:"[^"\n]*"|`[^`]*`)[^\n]*/g)) {
        for (const [flag] of hint.replace(CLOUD_COMMAND, "").matchAll(/(?<![\w-])-(?:-[a-z][a-z-]+|[a-z](?![\w-]))/g)) {
          count += 1;
          // What the programs share knows only the flags that every one of them has.
          const flags = PROGRAMS.includes(folder as Program)
            ? await flagsOf(folder as Program)
            : new Set(["--help", "--version", ...declaredIn(source), ...declaredIn(cli)]);
          expect([...flags], `${name}: ${hint}`).toContain(flag);
        }
      }
    }
    expect(count).toBeGreaterThan(15);
  });
});
