import { mkdtempSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { noteAsked } from "@cdh/core/debug-files/asked";
import type { DebugRole } from "@cdh/core/debug-files/keys";
import { putPacked } from "@cdh/core/debug-files/put";
import type { ObjectStore } from "@cdh/core/store/store";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { fillDirectory, leftIn, type StoredSample } from "./retention-store.ts";

const DAY = 86_400_000;
const scratch = scratchDirectory("retention-files");
const LEDGER = "_retention/unreferred-files.json";
const id = (digits: string): string => digits.repeat(20);
const [USED, SHARED, OLD, YOUNG] = [id("a1"), id("a2"), id("b1"), id("b2")] as const;

/** A crash that needs these files. */
const crash = (
  name: string,
  buildIds: readonly string[] | undefined,
  more: Partial<StoredSample> = {},
): StoredSample => ({
  name,
  namespace: "shop",
  ...more,
  changes: {
    modules: buildIds?.map((buildId) => ({ path: "/x", start: "0x1", end: "0x2", buildId })),
  } as Partial<Manifest>,
});

interface Shown {
  removals: { bundle: string; reason: string }[];
  removed: number;
}

describeUnless(notBuilt("cdh-api"), "retention of programs and debug info", () => {
  const place = async (samples: readonly StoredSample[]): Promise<{ directory: string; store: ObjectStore }> => {
    const directory = mkdtempSync(join(scratch, "store-"));
    const store = await fillDirectory(directory, samples);
    const put = async (buildId: string, role: DebugRole, ageDays: number, sharedBuildId?: string): Promise<void> => {
      const path = join(scratch, "packed");
      writeFileSync(path, buildId);
      const facts = { sizeBytes: 40, sha256: "0".repeat(64), storedBytes: 40, name: "x", hasCode: true, sharedBuildId };
      await putPacked(store, { ...facts, id: { buildId, role }, path });
      const date = new Date(Date.now() - ageDays * DAY);
      utimesSync(join(directory, "debug", buildId, `${role}.zst`), date, date);
    };
    await put(USED, "executable", 100);
    await put(USED, "debuginfo", 100, SHARED);
    await put(SHARED, "debuginfo", 100);
    await put(OLD, "executable", 100);
    await put(OLD, "dwp", 100);
    await put(YOUNG, "executable", 2);
    return { directory, store };
  };
  const prune = (directory: string, ...args: string[]): Promise<BuiltResult> =>
    runBuilt("cdh-api", ["prune", "--store", `file://${directory}`, "--files-grace", "30d", ...args], {
      env: { PATH: process.env["PATH"] ?? "" },
    });
  /** Have it seen for so long that nothing refers to them. */
  const age = (directory: string, days: number): void => {
    const path = join(directory, LEDGER);
    const { files } = JSON.parse(readFileSync(path, "utf8")) as { files: Record<string, number> };
    const older = Object.fromEntries(Object.entries(files).map(([key, since]) => [key, since - days * DAY]));
    writeFileSync(path, JSON.stringify({ schemaVersion: 1, files: older }));
  };
  const filesIn = async (store: ObjectStore): Promise<string[]> =>
    (await leftIn(store)).filter((key) => key.startsWith("debug/") && key.endsWith(".zst"));
  const ALL = [
    `debug/${USED}/debuginfo.zst`,
    `debug/${USED}/executable.zst`,
    `debug/${SHARED}/debuginfo.zst`,
    `debug/${OLD}/dwp.zst`,
    `debug/${OLD}/executable.zst`,
    `debug/${YOUNG}/executable.zst`,
  ];

  it("removes what no bundle has referred to for the grace, and nothing else", async () => {
    const { directory, store } = await place([crash("one", [USED]), crash("two", [])]);
    expect(await filesIn(store)).toEqual(ALL);
    // Nobody has seen yet for how long.
    expect(await prune(directory)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^removed 0 /) });
    expect(await filesIn(store)).toEqual(ALL);
    age(directory, 29);
    expect((await prune(directory)).stdout).toMatch(/^removed 0 /);
    age(directory, 2);
    const shown = JSON.parse((await prune(directory, "--dry-run", "-o", "json")).stdout) as Shown;
    expect(shown.removals.map(({ bundle, reason }) => `${reason} ${bundle}`)).toEqual([
      `unreferredFile debug/${OLD}/dwp.zst`,
      `unreferredFile debug/${OLD}/executable.zst`,
    ]);
    expect(await filesIn(store)).toEqual(ALL);
    const done = await prune(directory, "-o", "json", "--log-format", "json");
    expect(done.exitCode, done.stderr).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ removed: 2 });
    expect(JSON.parse(done.stderr.split("\n")[0] ?? "")).toMatchObject({ audit: true, key: `debug/${OLD}/dwp.zst` });
    expect(await filesIn(store)).toEqual(ALL.filter((key) => !key.includes(OLD)));
    expect((await leftIn(store)).filter((key) => key.startsWith("shop/"))).toHaveLength(4);
  }, 120_000);

  it("keeps files without a build-id as long as a crash names their SHA-256", async () => {
    const [named, unnamed] = ["c1".repeat(32), "c2".repeat(32)];
    const sample = crash("one", [USED]);
    const modules = [
      { path: "/x", start: "0x1", end: "0x2", buildId: USED },
      { path: "/app", start: "0x3", end: "0x4", sha256: named },
    ];
    const { directory, store } = await place([{ ...sample, changes: { modules } as Partial<Manifest> }]);
    for (const sha256 of [named, unnamed]) {
      const path = join(scratch, "packed");
      writeFileSync(path, sha256);
      const facts = { sizeBytes: 64, sha256, storedBytes: 64, name: "app", hasCode: true };
      await putPacked(store, { ...facts, id: { buildId: sha256, role: "executable" }, path });
      const date = new Date(Date.now() - 100 * DAY);
      utimesSync(join(directory, "debug", sha256, "executable.zst"), date, date);
    }
    expect((await prune(directory)).exitCode).toBe(0);
    age(directory, 31);
    expect((await prune(directory)).exitCode).toBe(0);
    const left = await filesIn(store);
    expect(left).toContain(`debug/${named}/executable.zst`);
    expect(left).not.toContain(`debug/${unnamed}/executable.zst`);
  });

  it("begins its grace anew when a crash refers to a file again", async () => {
    const { directory, store } = await place([crash("one", [USED])]);
    await prune(directory);
    age(directory, 20);
    const back = await fillDirectory(directory, [crash("two", [OLD])]);
    await prune(directory);
    await back.delete("shop/two.manifest.json");
    await back.delete("shop/two.zip");
    await prune(directory);
    age(directory, 20);
    expect((await prune(directory)).stdout).toMatch(/^removed 0 /);
    expect(await filesIn(store)).toEqual(ALL);
  }, 120_000);

  it("leaves alone what a node relies on whose bundle is not there yet", async () => {
    const { directory, store } = await place([crash("one", [USED])]);
    await prune(directory);
    age(directory, 60);
    await noteAsked(store, OLD, Date.now());
    expect((await prune(directory)).stdout).toMatch(/^removed 0 /);
    expect(await filesIn(store)).toEqual(ALL);
    const long = new Date(Date.now() - 60 * DAY);
    utimesSync(join(directory, "debug", OLD, "asked"), long, long);
    age(directory, 60);
    expect((await prune(directory)).stdout).toMatch(/^removed 2 /m);
    expect(await filesIn(store)).toEqual(ALL.filter((key) => !key.includes(OLD)));
  }, 120_000);

  it.each<[what: string, sample: StoredSample]>([
    ["has a manifest that cannot be read", crash("bad", [], { garbage: true })],
    ["has no manifest yet", crash("bad", [], { without: "manifest" })],
    ["lists no modules", crash("bad", undefined)],
    [
      "lists the first of its modules only",
      {
        ...crash("bad", []),
        changes: {
          modules: [],
          problems: [{ step: "manifest", code: "CDH_CUT", detail: "modules: the first 4096 of 5000" }],
        },
      },
    ],
  ])(
    "removes nothing while a bundle %s, and says so",
    async (_what, sample) => {
      const { directory, store } = await place([crash("one", [USED])]);
      await prune(directory);
      age(directory, 60);
      await fillDirectory(directory, [sample]);
      const result = await prune(directory);
      expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("shop/bad") });
      expect(await filesIn(store)).toEqual(ALL);
    },
    120_000,
  );

  it("refuses a grace in which nodes still take a file for stored", async () => {
    const { directory } = await place([]);
    const result = await prune(directory, "--files-grace", "7d");
    expect(result).toMatchObject({ exitCode: 10, stderr: expect.stringContaining("at least 8d") });
  });
});
