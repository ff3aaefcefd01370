import { readdirSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ERROR_CODES } from "@cdh/core/errors";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";

const directory = join(REPOSITORY, "test/fixtures/bundles/bad");
const files = readdirSync(directory).filter((name) => name.endsWith(".zip"));
const RSS_MAX_BYTES = 150 * 1024 * 1024;
const TIME_MAX_MS = 15_000;

describeUnless(notBuilt("cdh-inspect"), "hostile bundles", () => {
  let place: string;

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-hostile-"));
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it("has a file for every code that a bundle can be refused with", () => {
    const codes = new Set(files.map(codeOf));
    const known = Object.keys(ERROR_CODES).filter((code) => code.startsWith("CDH_BUNDLE_"));
    expect(codes).toEqual(new Set(known));
    expect(files.length).toBeGreaterThanOrEqual(70);
  });

  it.concurrent.each(files)("%s", async (name) => {
    const code = codeOf(name);
    const file = join(directory, name);
    const target = join(place, name, "a/b/target");
    const verified = await runBuilt("cdh-inspect", ["verify", "-o", "jsonl", file]);
    expect(verified.exitCode, verified.stderr).toBe(16);
    const said = `${verified.stderr}${verified.stdout}`;
    expect(said.includes(`(${code})`) || said.includes(`"code":"${code}"`), said).toBe(true);
    const unpacked = await runBuilt("cdh-inspect", ["unpack", file, target]);
    for (const run of [verified, unpacked]) expectHarmless(run);
    // What was unpacked lies in the target, and only whole files have their names.
    const written = await readdir(place, { recursive: true, withFileTypes: true });
    for (const entry of written.filter((one) => !one.isDirectory())) {
      expect(entry.isFile()).toBe(true);
      expect(entry.parentPath).toContain("/a/b/target");
    }
    const there = await readdir(target).catch(() => []);
    expect(there.filter((one) => one.includes("partial"))).toEqual([]);
  });

  it.each(files.filter((name) => name.endsWith("-1.zip")))("shows nothing harmful of %s", async (name) => {
    const shown = await runBuilt("cdh-inspect", ["show", join(directory, name)]);
    expectHarmless(shown);
  });

  it("lists them all, each with its reason", async () => {
    const listed = await runBuilt("cdh-inspect", ["ls", directory]);
    expectHarmless(listed);
    expect(listed.exitCode).toBe(3);
    expect(listed.stdout.trimEnd().split("\n")).toHaveLength(files.length + 1);
  });
});

function codeOf(name: string): string {
  return name.replace(/-\d+\.zip$/, "");
}

function expectHarmless(run: BuiltResult): void {
  expect([0, 3, 12, 16], run.stderr).toContain(run.exitCode);
  expect(run.durationMs).toBeLessThan(TIME_MAX_MS);
  expect(run.peakRssBytes ?? 0).toBeLessThan(RSS_MAX_BYTES);
  // eslint-disable-next-line no-control-regex -- that none of these gets out is what is tested
  expect(run.stdout + run.stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
}
