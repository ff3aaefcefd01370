import { mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";
import { tearBundle } from "./torn.ts";

const MIB = 1024 * 1024;
const directory = scratchDirectory("salvage");

describeUnless(
  notBuilt("cdc", "cdh-upload") ?? missingTools("zstd"),
  "a composer that was killed in the middle",
  () => {
    it.each([{ compression: "zstd" }, { compression: "deflate" }, { compression: "none" }])(
      "with $compression: what it had written is salvaged, marked, and uploaded",
      async ({ compression }) => {
        const scratch = mkdtempSync(join(directory, "run-"));
        await using rig = makeRig();
        rig.env({ COMPRESSION: compression });
        const core = smallCore(noise(24 * MIB));
        await tearBundle(rig, core);

        const store = join(scratch, "store");
        mkdirSync(store);
        const swept = await runBuilt("cdh-upload", ["sweep", "--core-dir", rig.coreDir, "--store", `file://${store}`]);
        expect(outcomeOf(swept)).toBe("exit 0");
        expect(rig.spool().filter((name) => name.includes(".zip"))).toEqual([]);
        const zips = readdirSync(store, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".zip"));
        expect(zips.length).toBe(1);
        const bundle = await openBundleFile(join(store, zips[0] ?? ""));
        expect(bundle.manifest.core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
        // What only the kernel and the living process told, from the note that the composer left.
        expect(bundle.manifest.process).toMatchObject({ pid: 4194303, uid: 0, comm: "crashy", dumpMode: 1 });
        // At least what had long been written; every byte of it as the kernel gave it.
        expect(bundle.manifest.core.sizeBytes).toBeGreaterThan(8 * MIB);
        const unpacked = await bundle.unpackCore(scratch);
        const bytes = readFileSync(unpacked.path);
        expect(bytes.length).toBe(bundle.manifest.core.sizeBytes);
        expect(bytes.equals(core.subarray(0, bytes.length))).toBe(true);
        expect(unpacked.sha256).toBe(bundle.manifest.core.sha256);
      },
    );
  },
);
