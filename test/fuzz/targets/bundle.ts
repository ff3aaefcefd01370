import * as fc from "fast-check";
import { openCore } from "@cdh/core/bundle/core-reader";
import { openBundle } from "@cdh/core/bundle/reader";
import { bytesSource } from "@cdh/core/bundle/reader-source";
import { parseContainerNames, readLogs } from "@cdh/core/report/bundle-logs";
import { openFile } from "../../../packages/cdh-inspect/src/read/opened-file.ts";
import { verify } from "../../../packages/cdh-inspect/src/read/verify.ts";
import { framedCore } from "../../../packages/core/src/bundle/core-reader-frames.ts";
import { bundleRecipe, seekRecipe, writeBundle, writeSeek } from "../grammar/bundle.ts";
import { defineTarget, must, orRefused } from "../target.ts";

/** What verify may spend: it reads all that a bundle says it holds. */
const VERIFY_CPU_MAX_MS = 10_000;

/** Zips, as the inspector reads them whole. */
export const bundleTarget = defineTarget({
  name: "bundle",
  what: "zips that lie, repeat, amplify; their manifests, cores, logs; verify",
  recipes: bundleRecipe,
  build: writeBundle,
  bytesOf: (zip) => zip,
  cpuMaxMs: VERIFY_CPU_MAX_MS,
  run: async (zip) => {
    const source = (): ReturnType<typeof bytesSource> => bytesSource("fuzz.zip", zip);
    await orRefused(async () => {
      const bundle = await openBundle(source());
      must(
        bundle.entries.every(({ name }) => !name.split("/").includes("..") && !name.startsWith("/")),
        "an entry leads out",
      );
      await readLogs(bundle, 50, parseContainerNames);
      const core = await openCore(bundle);
      const bytes = await core.read(0, 4096);
      must(bytes.length <= 4096, `${bytes.length} bytes of 4096`);
    });
    await orRefused(async () => {
      const opened = await openFile(source());
      for await (const finding of verify(opened)) must(finding.message.length < 5000, "a finding without end");
    });
  },
});

/** Seek tables by themselves: the core's reader believes them only as far as they fit. */
export const seekTableTarget = defineTarget({
  name: "seek-table",
  what: "seek tables: frames of nothing, of too much, too many, a wrong count",
  recipes: fc.record({
    seek: seekRecipe,
    offset: fc.nat({ max: 2 ** 31 }),
    length: fc.constantFrom(0, 1, 4096, 3 * 1024 ** 2),
  }),
  build: ({ seek, offset, length }) => ({ bytes: writeSeek(seek), offset, length }),
  bytesOf: ({ bytes }) => bytes,
  run: async ({ bytes, offset, length }) => {
    await orRefused(async () => {
      const core = await framedCore({
        name: "fuzz.core.zst",
        label: "fuzz.zip",
        sizeBytes: bytes.length,
        read: (at, count) => Promise.resolve(Buffer.from(bytes.subarray(at, at + count))),
      });
      const read = await core.read(core.sizeBytes === undefined ? 0 : Math.min(offset, core.sizeBytes), length);
      must(read.length <= length, `${read.length} bytes of ${length}`);
    });
  },
});
