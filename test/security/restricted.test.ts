import { copyFile, readdir, readFile, rename, rm, stat, truncate, utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { kernelWords, makeRig, noise, smallCore } from "../composer/drive.ts";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import type { BundleSpec } from "../upload/bundles.ts";
import { logLines, makeWorkbench, type Workbench } from "../upload/workbench.ts";

interface Stored {
  folder: string;
  manifest: { restricted?: boolean; pod?: unknown; identity?: unknown; problems: { code: string; step: string }[] };
  metadata: Record<string, string>;
  zipBytes: number;
}

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

async function bench(): Promise<Workbench & { store: string }> {
  const made = await makeWorkbench({});
  open.push(made);
  const store = join(made.directory, "store");
  made.env["STORE_URL"] = `file://${store}`;
  return { ...made, store };
}

/** What the store holds of the only bundle in it. */
async function stored(store: string): Promise<Stored> {
  const [folder = "", ...others] = await readdir(store);
  expect(others).toEqual([]);
  const names = (await readdir(join(store, folder))).filter((name) => name.endsWith(".zip"));
  expect(names).toHaveLength(1);
  const [name = ""] = names;
  const read = async (file: string): Promise<unknown> => JSON.parse(await readFile(join(store, folder, file), "utf8"));
  return {
    folder,
    manifest: (await read(name.replace(/\.zip$/, ".manifest.json"))) as Stored["manifest"],
    metadata: (await read(`.${name}.meta.json`)) as Stored["metadata"],
    zipBytes: (await stat(join(store, folder, name))).size,
  };
}

const POD = JSON.stringify({ metadata: { name: "web-1", namespace: "team-a", uid: "0000" } });
const good = { schemaVersion: 1, crashId: "c", core: { entry: "x.core" }, restricted: true };

/** Manifests that stand there and that nobody can read. */
const UNREADABLE: [string, string][] = [
  [
    "nested deeper than readers go",
    JSON.stringify({ ...good, x: "@" }).replace('"@"', `${"[".repeat(200)}${"]".repeat(200)}`),
  ],
  ["no JSON", `${JSON.stringify(good)}}`],
  ["not UTF-8", "\ud800".repeat(3)],
  ["of another shape", JSON.stringify({ ...good, modules: 7 })],
  ["without its core", JSON.stringify({ ...good, core: undefined })],
  ["no object", "[]"],
  ["empty", ""],
  ["larger than readers take", JSON.stringify({ ...good, filler: "x".repeat(17 * 1024 * 1024) })],
  ["of a later version that does not say", JSON.stringify({ ...good, schemaVersion: 2, restricted: undefined })],
  ["of a later version and another shape", JSON.stringify({ ...good, schemaVersion: 2, core: 5 })],
];

describeUnless(notBuilt("cdh-upload", "cdc"), "what only administrators may read (dump mode 2)", () => {
  describe("stays so when the manifest is", () => {
    it.each(UNREADABLE)("%s", async (name, text) => {
      const work = await bench();
      const entries = { "-pod-info.json": POD, "-manifest.json": text };
      const bundle = await work.publish({ manifest: undefined, entries });
      const { exitCode, stderr } = await work.sweep();
      expect(exitCode, stderr).toBe(0);
      const { folder, manifest, metadata, zipBytes } = await stored(work.store);
      // Kept whole, restricted, nobody's, and nothing invented.
      expect(folder).toBe("_host");
      expect(zipBytes).toBe(bundle.sizeBytes);
      expect(metadata).toMatchObject({ "cdh-restricted": "true" });
      expect(metadata).not.toHaveProperty("cdh-pod");
      expect(manifest).toMatchObject({ restricted: true });
      expect(manifest).not.toHaveProperty("pod");
      if (name === "of a later version that does not say") return;
      expect(manifest.identity).toEqual({ source: "none", verified: false });
      expect(manifest.problems).toEqual([expect.objectContaining({ step: "upload" })]);
      expect(logLines(stderr)).toContainEqual(
        expect.objectContaining({ level: "warn", msg: expect.stringContaining("kept as restricted") as string }),
      );
    });
  });

  it.each<[string, boolean, BundleSpec]>([
    ["the manifest", true, { manifest: { restricted: true } }],
    ["its dump mode alone", true, { manifest: { process: { dumpMode: 2 } } }],
    ["the dump info alone", true, { info: { restricted: "true" } }],
    ["the dump info in a word that nobody knows", true, { info: { restricted: "maybe" } }],
    ["the dump info of a bundle without manifest", true, { manifest: undefined, info: { restricted: "true" } }],
    ["nobody", false, {}],
    ["nobody, as the dump info says too", false, { info: { restricted: "false" } }],
    [
      "nobody, in a manifest of a later version",
      false,
      { manifest: { schemaVersion: 2 }, info: { restricted: "false" } },
    ],
    ["nobody, in IBM's bundle", false, { manifest: undefined }],
  ])("is said by %s: %s", async (_name, restricted, spec) => {
    const work = await bench();
    await work.publish(spec);
    expect((await work.sweep()).exitCode).toBe(0);
    const { manifest, metadata } = await stored(work.store);
    expect(manifest.restricted).toBe(restricted ? true : undefined);
    expect(metadata["cdh-restricted"]).toBe(restricted ? "true" : undefined);
  });

  describe("is told by the composer before the core, so that a torn bundle knows it", () => {
    it.each([
      ["2", true],
      ["1", undefined],
    ])("dump mode %s", async (mode, restricted) => {
      await using rig = makeRig();
      const core = smallCore(noise(3 * 1024 ** 2));
      await rig.run(core, { args: kernelWords({ m: mode }) });
      const { manifest } = await rig.bundle();
      expect(manifest.restricted).toBe(restricted);

      // As a composer leaves it that was killed in the middle, before it knew more than the kernel's words.
      const [name = ""] = rig.spool().filter((file) => file.endsWith(".zip"));
      const work = await bench();
      const torn = join(work.coreDir, `.${name}.partial`);
      await copyFile(join(rig.coreDir, name), torn);
      await rm(join(rig.coreDir, name));
      await truncate(torn, 2 * 1024 ** 2);
      await utimes(torn, 1, 1);
      const { exitCode, stderr } = await work.sweep();
      expect(exitCode, stderr).toBe(0);
      const found = await stored(work.store);
      expect(found.manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_SALVAGED" }));
      expect(found.manifest.restricted).toBe(restricted);
      expect(found.metadata["cdh-restricted"]).toBe(restricted === true ? "true" : undefined);
    });

    it("and counts as restricted when it died before it had said anything", async () => {
      const work = await bench();
      const bundle = await work.publish();
      const torn = join(work.coreDir, `.${bundle.name}.zip.partial`);
      await rename(bundle.path, torn);
      await truncate(torn, 10);
      await utimes(torn, 1, 1);
      expect((await work.sweep()).exitCode).toBe(0);
      expect((await stored(work.store)).manifest.restricted).toBe(true);
    });
  });
});
