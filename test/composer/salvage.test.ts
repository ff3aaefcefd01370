import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";

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
        const endless = Readable.from(
          (async function* () {
            for (let at = 0; at < 20 * MIB; at += 65_536) yield core.subarray(at, at + 65_536);
            await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
          })(),
        );
        const partialBytes = (): number =>
          Math.max(
            0,
            ...rig
              .spool()
              .filter((name) => name.endsWith(".partial"))
              .map((name) => statSync(join(rig.coreDir, name)).size),
          );
        const marks = join(rig.coreDir, "state/writers");
        const hasNote = (): boolean =>
          readdirSync(marks).some((name) => name.endsWith(".json") && statSync(join(marks, name)).size > 0);
        const killed = await rig.run(endless, { killWhen: () => partialBytes() > 10 * MIB && hasNote() });
        expect(killed).toMatchObject({ signal: "SIGKILL", timedOut: false });
        const [partial, ...others] = rig.spool().filter((name) => name.endsWith(".partial"));
        expect([partial, others]).toEqual([expect.any(String), []]);
        // A living composer touches its file every few seconds; a minute has passed here.
        const before = Date.now() / 1000 - 60;
        utimesSync(join(rig.coreDir, partial ?? ""), before, before);

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
