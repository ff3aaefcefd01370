import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { type OpenBundle, openBundleFile } from "../helpers/bundle-files.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";
import { makeOld } from "./torn.ts";

const MIB = 1024 * 1024;
const directory = scratchDirectory("take");

/** Noise, zeros and text in turn. */
function mixed(mebibytes: number): Buffer {
  const memory = noise(mebibytes * MIB);
  for (let at = 0; at + 2 * MIB <= memory.length; at += 3 * MIB) {
    memory.fill(0, at, at + MIB);
    memory.fill(`text of a heap at ${at} `, at + MIB, Math.min(memory.length, at + MIB + 700_000));
  }
  return memory;
}

async function expectCore({ manifest, unpackCore }: OpenBundle, core: Buffer): Promise<void> {
  const unpacked = await unpackCore(mkdtempSync(join(directory, "core-")));
  expect(readFileSync(unpacked.path).equals(core.subarray(0, manifest.core.sizeBytes))).toBe(true);
  expect(manifest.core.sha256).toBe(unpacked.sha256);
}

describeUnless(notBuilt("cdc", "cdh-upload") ?? missingTools("zstd"), "a core that is taken raw", () => {
  const core = smallCore(mixed(40));

  it("is packed before it is published, and is the same", async () => {
    const stored: number[] = [];
    for (const take of ["auto", "pipe"]) {
      await using rig = makeRig();
      rig.env({ IGNORE_CRIO: "true", KEEP_FREE: "100M", TAKE: take });
      expect(outcomeOf(await rig.run(core))).toBe("exit 0");
      expect(rig.spool().filter((name) => name.startsWith("."))).toEqual([]);
      const bundle = await rig.bundle();
      expect(bundle.manifest.composer.take).toEqual(
        take === "auto" ? { from: "pipe", as: "raw" } : { from: "pipe", as: "packed", reasons: ["not raw: TAKE=pipe"] },
      );
      expect(bundle.manifest.core).toMatchObject({ complete: true, sizeBytes: core.length });
      await expectCore(bundle, core);
      stored.push(statSync(bundle.path).size);
    }
    // Compressed alike: but for the words of the manifest.
    expect(Math.abs((stored[0] ?? 0) - (stored[1] ?? 0))).toBeLessThan(512);
  });

  it("killed while it is packed: all of it is salvaged, and nothing else is left", async () => {
    await using rig = makeRig();
    rig.env({ IGNORE_CRIO: "true", KEEP_FREE: "100M", TAKE: "auto" });
    const large = smallCore(mixed(150));
    const packing = (): boolean => rig.spool().some((name) => name.endsWith(".packing"));
    expect((await rig.run(large, { killWhen: packing })).signal).toBe("SIGKILL");
    const torn = rig.spool().filter((name) => name.includes(".zip."));
    expect(torn.length).toBe(2);
    for (const name of torn) makeOld(join(rig.coreDir, name));
    const store = mkdtempSync(join(directory, "store-"));
    const swept = await runBuilt("cdh-upload", ["sweep", "--core-dir", rig.coreDir, "--store", `file://${store}`]);
    expect(outcomeOf(swept)).toBe("exit 0");
    expect(rig.spool().filter((name) => name.includes(".zip"))).toEqual([]);
    const zips = readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".zip"));
    expect(zips.length).toBe(1);
    const bundle = await openBundleFile(join(store, zips[0] ?? ""));
    expect(bundle.manifest.core).toMatchObject({ complete: true, sizeBytes: large.length });
    await expectCore(bundle, large);
  }, 60_000);

  it.each([
    ["CORE_SIZE_MAX", { CORE_SIZE_MAX: String(21 * MIB + 12_345) }, "coreSizeMax"],
    ["TIMEOUT", { TIMEOUT: "3s" }, "deadline"],
  ])(
    "cut by %s it is whole up to there",
    async (_name, settings, truncatedBy) => {
      await using rig = makeRig();
      rig.env({ IGNORE_CRIO: "true", KEEP_FREE: "100M", TAKE: "auto", ...settings });
      const slow = Readable.from(
        (async function* () {
          for (let at = 0; at < 30 * MIB; at += 65_536) yield core.subarray(at, at + 65_536);
          if (truncatedBy === "deadline") await delay(20_000, undefined, { ref: false });
          yield core.subarray(30 * MIB);
        })(),
      );
      await rig.run(slow);
      const bundle = await rig.bundle();
      expect(bundle.manifest.composer.take).toEqual({ from: "pipe", as: "raw" });
      expect(bundle.manifest.core).toMatchObject({ complete: false, truncatedBy });
      expect(bundle.manifest.core.sizeBytes).toBeGreaterThan(20 * MIB);
      await expectCore(bundle, core);
    },
    60_000,
  );

  it("takes no more of the spool than MAX_USE leaves: then it is compressed while it arrives", async () => {
    await using rig = makeRig();
    rig.env({ IGNORE_CRIO: "true", KEEP_FREE: "100M", TAKE: "auto", MAX_USE: "100M" });
    await rig.run(core);
    const bundle = await rig.bundle();
    expect(bundle.manifest.composer.take).toEqual({
      from: "pipe",
      as: "packed",
      reasons: [expect.stringMatching(/a quarter of the room/)],
    });
    await expectCore(bundle, core);
  });
});
