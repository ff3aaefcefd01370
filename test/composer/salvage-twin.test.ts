import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { builtPath, notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";
import { makeOld, tearBundle } from "./torn.ts";

const MIB = 1024 * 1024;
const directory = scratchDirectory("salvage-twin");

describeUnless(notBuilt("cdc", "cdh-upload") ?? missingTools("zstd"), "a torn bundle whose name is published", () => {
  it("is removed when the published one holds it, else sent under a name of its own", async () => {
    await using rig = makeRig();
    const core = smallCore(noise(24 * MIB));
    const partial = await tearBundle(rig, core);
    const torn = readFileSync(partial);
    const leaveTorn = (bytes: number): string => {
      writeFileSync(partial, torn.subarray(0, bytes), { mode: 0o600 });
      return makeOld(partial);
    };
    const zips = (): string[] => rig.spool().filter((name) => name.endsWith(".zip"));
    const unfinished = (): string[] => rig.spool().filter((name) => name.startsWith("."));
    const scratch = mkdtempSync(join(directory, "run-"));
    // A store that can't be: what is published stays in the spool.
    writeFileSync(join(scratch, "file"), "");
    const dead = [
      "sweep",
      "--core-dir",
      rig.coreDir,
      "--store",
      `file://${scratch}/file/store`,
      "--log-format",
      "json",
    ];

    leaveTorn(6 * MIB);
    await runBuilt("cdh-upload", dead);
    const [published = "", ...others] = zips();
    expect([published, others]).toEqual([basename(partial).slice(1, -".partial".length), []]);
    const before = readFileSync(join(rig.coreDir, published));

    // The very file again, as from a backup: nothing in it is new.
    leaveTorn(6 * MIB);
    const removed = await runBuilt("cdh-upload", dead);
    expect([zips(), unfinished()], removed.stderr).toEqual([[published], []]);
    expect(readFileSync(join(rig.coreDir, published)).equals(before)).toBe(true);
    expect(removed.stderr).toContain("removed a torn bundle that a published one holds");

    // More of the core than the published one has, found by the daemon; told once.
    leaveTorn(torn.length);
    await using daemon = startTied(builtPath("cdh-upload"), ["run", "--core-dir", rig.coreDir], {
      env: { STORE_URL: `file://${scratch}/file/store`, METRICS_ADDR: "", INTERVAL: "1s", LOG_FORMAT: "json" },
    });
    const told = (): unknown[] =>
      daemon
        .output()
        .split("\n")
        .filter((text) => text.includes("salvaged what"))
        .map((text) => JSON.parse(text) as unknown);
    await expect.poll(() => told().length, { timeout: 40_000 }).toBeGreaterThan(0);
    // It looks again and again; there is nothing left to do.
    const looks = (): number => daemon.output().split("not uploaded yet").length;
    const earlier = looks();
    await expect.poll(looks, { timeout: 40_000 }).toBeGreaterThan(earlier + 1);
    await daemon.stop();
    expect(told()).toMatchObject([{ detail: expect.stringContaining("another bundle was published") as string }]);
    expect([zips().length, unfinished()]).toEqual([2, []]);

    const store = join(scratch, "store");
    const swept = await runBuilt("cdh-upload", ["sweep", "--core-dir", rig.coreDir, "--store", `file://${store}`]);
    expect(outcomeOf(swept)).toBe("exit 0");
    expect([zips(), unfinished()]).toEqual([[], []]);
    const stored = (): string[] =>
      readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".manifest.json"));
    expect(stored().length).toBe(2);

    const bundles = await Promise.all(
      stored().map((name) => openBundleFile(join(store, name.replace(/\.manifest\.json$/, ".zip")))),
    );
    expect(new Set(bundles.map(({ manifest }) => manifest.crashId)).size).toBe(2);
    const sizes: number[] = [];
    for (const bundle of bundles) {
      const { manifest, entries } = bundle;
      const name = manifest.bundle.slice(0, -".zip".length);
      expect(basename(bundle.path)).toBe(manifest.bundle);
      expect(name).toContain(manifest.crashId);
      expect(entries.map((entry) => entry.name.startsWith(name))).not.toContain(false);
      const unpacked = await bundle.unpackCore(scratch);
      const bytes = readFileSync(unpacked.path);
      expect(bytes.equals(core.subarray(0, bytes.length))).toBe(true);
      expect(unpacked.sha256).toBe(manifest.core.sha256);
      expect(outcomeOf(await runBuilt("cdh-inspect", ["verify", bundle.path]))).toMatch(/^exit [03]/);
      sizes.push(bytes.length);
    }
    expect(Math.min(...sizes)).toBeLessThan(7 * MIB);
    expect(Math.max(...sizes)).toBeGreaterThan(8 * MIB);
  });
});
