import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, smallCore } from "./drive.ts";

const scratch = scratchDirectory("compression");

// A program's text and tables, more than is read before the first frame is compressed.
const CORE = smallCore(readFileSync(process.execPath).subarray(0, 20 * 1024 * 1024));

/** How long the core's entry is with these settings. What comes out of it is compared with the core first. */
async function storedWith(settings: Record<string, string>): Promise<number> {
  await using rig = makeRig();
  rig.env(settings);
  expect((await rig.run(CORE)).exitCode).toBe(0);
  const bundle = await rig.bundle();
  expect(bundle.manifest.core).toMatchObject({ complete: true, sizeBytes: CORE.length });
  const unpacked = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
  expect(readFileSync(unpacked.path).equals(CORE)).toBe(true);
  const entry = bundle.entries.find(({ name }) => /\.core(\.zst)?$/.test(name));
  return entry?.storedBytes ?? NaN;
}

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "compression of a core", () => {
  it.each([
    { compression: "zstd", fast: "1", thorough: "12" },
    { compression: "deflate", fast: "1", thorough: "9" },
  ])(
    "$compression looks harder with a higher COMPRESSION_LEVEL, and 1 is the default",
    async ({ compression, fast, thorough }) => {
      const [usual, quick, small] = [
        await storedWith({ COMPRESSION: compression }),
        await storedWith({ COMPRESSION: compression, COMPRESSION_LEVEL: fast }),
        await storedWith({ COMPRESSION: compression, COMPRESSION_LEVEL: thorough }),
      ];
      expect(usual).toBe(quick);
      expect(small).toBeLessThan(0.97 * quick);
    },
  );

  it.each(["zstd", "deflate"])(
    "%s writes the same frames in the same order with any COMPRESSION_THREADS",
    async (compression) => {
      const lengths: number[] = [];
      for (const threads of ["1", "2", "7"]) {
        lengths.push(await storedWith({ COMPRESSION: compression, COMPRESSION_THREADS: threads }));
      }
      expect(new Set(lengths).size).toBe(1);
    },
  );
});
