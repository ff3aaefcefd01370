import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { openCore } from "@cdh/core/bundle/core-reader";
import { openBundle, openBundleFile } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import { bytesSource } from "@cdh/core/bundle/reader-source";
import { composeBundle } from "@cdh/core/testing/compose-bundle";
import { SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { salvageBundle } from "../../../packages/core/src/spool/salvage-bundle.ts";
import { around } from "../grammar/text.ts";
import { defineTarget, must, orRefused } from "../target.ts";

/** What our writers write, each reader reads; cut anywhere, the salvage makes a bundle of it whose core is its beginning. */
export const roundTripTarget = defineTarget({
  name: "round-trip",
  what: "bundles of our own, read back; cut at any byte, salvaged and read back",
  recipes: fc.record({
    compression: fc.constantFrom("zstd" as const, "deflate" as const, "none" as const),
    bytes: around(1, 4096, 1024 ** 2, 3 * 1024 ** 2),
    fill: fc.constantFrom("zeros" as const, "counter" as const),
    logs: fc.array(fc.nat({ max: 5000 }), { maxLength: 4 }),
    kept: fc.nat({ max: 1_000_000 }),
  }),
  build: async (recipe) => {
    const core = Buffer.alloc(Math.max(0, recipe.bytes));
    if (recipe.fill === "counter")
      for (let at = 0; at + 4 <= core.length; at += 4) core.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    const rest = recipe.logs.map((bytes, index) => ({
      name: `${SAMPLE_NAME}-${index}.log`,
      bytes: Buffer.alloc(bytes, "x\n"),
    }));
    const { bytes: zip } = await composeBundle(core, recipe.compression, rest);
    return { core, zip, torn: zip.subarray(0, Math.floor((zip.length * recipe.kept) / 1_000_000)), logs: recipe.logs };
  },
  bytesOf: ({ torn }) => torn,
  run: async ({ core, zip, torn, logs }) => {
    const bundle = await openBundle(bytesSource("own.zip", zip));
    must(bundle.entries.length === logs.length + 2, `${bundle.entries.length} entries`);
    must((await readAll(await openCore(bundle))).equals(core), "another core came back");
    const directory = await mkdtemp(join(tmpdir(), "torn-"));
    try {
      const path = join(directory, `${SAMPLE_NAME}.zip`);
      await writeFile(path, torn);
      const saved = await orRefused(async () => {
        await using handle = await open(path, "r+");
        return await salvageBundle(handle, { name: SAMPLE_NAME, modifiedAt: 1_795_249_571_000, version: "fuzz" });
      });
      if (saved === undefined) return;
      const again = await openBundleFile(path);
      try {
        const manifest = await readManifest(again);
        must(manifest?.core.sizeBytes === saved.core.sizeBytes, "the salvaged bundle has another manifest");
        const kept = await readAll(await openCore(again, manifest));
        must(kept.equals(core.subarray(0, kept.length)), "the salvaged core is not the core's beginning");
      } finally {
        await again.close();
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
});

async function readAll(core: Awaited<ReturnType<typeof openCore>>): Promise<Buffer> {
  const parts: Buffer[] = [];
  // The bytes are only lent.
  for await (const { bytes } of core.chunks()) parts.push(Buffer.from(bytes));
  return Buffer.concat(parts);
}
