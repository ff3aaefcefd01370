import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";
import { makeOld, tearBundle } from "./torn.ts";

const MIB = 1024 * 1024;
const directory = scratchDirectory("salvage");

describeUnless(
  notBuilt("cdc", "cdh-upload") ?? missingTools("zstd"),
  "a composer that was killed in the middle",
  () => {
    it("before it had written any memory: the loss is told, with who crashed", async () => {
      await using rig = makeRig();
      rig.env({ IGNORE_CRIO: "true" });
      // With its head: without that nobody is told.
      const partial = (): string | undefined =>
        rig.spool().find((name) => name.endsWith(".partial") && statSync(join(rig.coreDir, name)).size > 0);
      const slow = Readable.from(
        (async function* () {
          yield smallCore(noise(3 * MIB)).subarray(0, 2 * MIB);
          await delay(30_000, undefined, { ref: false });
        })(),
      );
      expect((await rig.run(slow, { killWhen: () => partial() !== undefined })).signal).toBe("SIGKILL");
      makeOld(join(rig.coreDir, partial() ?? ""));
      const store = `file://${mkdtempSync(join(directory, "lost-"))}`;
      const swept = await runBuilt("cdh-upload", ["sweep", "--core-dir", rig.coreDir, "--store", store]);
      expect(outcomeOf(swept)).toBe("exit 0");
      const told = "a composer died before it had kept any memory of a crash";
      const line = swept.stderr.split("\n").find((one) => one.includes(told));
      expect(JSON.parse(line ?? "{}")).toMatchObject({ level: "error", pid: 4194303, comm: "crashy", sizeBytes: 0 });
      const shown = await runBuilt("cdh-inspect", ["show", store]);
      expect(shown.stdout).toContain("crashy died of SIGSEGV");
      expect(shown.stdout).toContain("no memory kept: the composer died before it had written any");
    }, 60_000);

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
