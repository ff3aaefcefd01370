import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { encodeSeekTable } from "@cdh/core/bundle/zstd-frames";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, outcomeOf, runBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";

const MIB = 1024 * 1024;
const RSS_MAX_BYTES = 150 * MIB;
/** A core of 10 GiB: noise in the middle, as in the caches of a real one, zeros around it. */
const FRAMES = 10 * 1024;
const NOISE = { from: 4096, to: 5120 };

/** A frame that compresses to a tenth, and one of zeros; every frame is a copy of one of them. */
function makeFrameKinds(): { noise: Buffer; zeros: Buffer } {
  const bytes = Buffer.alloc(MIB);
  Buffer.from(new SeededRandom(5).bytes(100_000)).copy(bytes, 1000);
  return { noise: zstdCompressSync(bytes), zeros: zstdCompressSync(Buffer.alloc(MIB)) };
}

function makeLargeBundle(frameCount: number, noise: { from: number; to: number }): Buffer {
  const kinds = makeFrameKinds();
  const head = Buffer.alloc(MIB);
  makeTinyCore().copy(head);
  const frames = Array.from({ length: frameCount }, (_, index) => {
    if (index === 0) return zstdCompressSync(head);
    return index >= noise.from && index < noise.to ? kinds.noise : kinds.zeros;
  });
  const table = encodeSeekTable(frames.map((frame) => ({ storedBytes: frame.length, coreBytes: MIB })));
  const data = Buffer.concat([...frames, table]);
  const { dumpInfo, core, log, manifest } = makeSampleEntries();
  const { sha256: _sha256, ...facts } = (JSON.parse(String(manifest.data)) as Manifest).core;
  const sizeBytes = frameCount * MIB;
  const about = { ...facts, sizeBytes, expectedBytes: sizeBytes, storedBytes: data.length };
  const changed = { ...(JSON.parse(String(manifest.data)) as Manifest), core: about };
  return makeRawZip([dumpInfo, { ...core, data }, log, { ...manifest, data: Buffer.from(JSON.stringify(changed)) }]);
}

describeUnless(notBuilt("cdh-inspect") ?? findTool("minio").reason, "cdh-inspect and cores of 10 GiB", () => {
  let s3: S3Server;
  let place: string;
  let env: Record<string, string>;
  let local: string;

  const inspect = (...args: string[]): Promise<BuiltResult> =>
    runBuilt("cdh-inspect", args, { env, timeoutMs: 120_000 });

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-large-"));
    s3 = await startS3Server({ kind: "minio", bucket: "cores" });
    env = { PATH: process.env["PATH"] ?? "", HOME: place, TMPDIR: place, ...s3.env };
    local = join(place, "large.zip");
    const large = makeLargeBundle(FRAMES, NOISE);
    await writeFile(local, large);
    for (const [key, body] of [
      ["large.zip", large],
      ["medium.zip", makeLargeBundle(1024, { from: 200, to: 800 })],
    ] as const) {
      const { status } = await s3Request(s3, "PUT", `/${s3.bucket}/${key}`, { body });
      if (status !== 200) throw new Error(`MinIO refuses ${key}: ${status}`);
    }
  }, 180_000);

  afterAll(async () => {
    await s3[Symbol.asyncDispose]();
    await rm(place, { recursive: true, force: true });
  });

  it.each(["show", "threads", "ls"])("%s reads a few parts of it, wherever it is", async (verb) => {
    for (const where of [local, "s3://cores/large.zip"]) {
      const result = await inspect(verb, "-o", "json", where);
      expect(outcomeOf(result)).toBe("exit 0");
      expect(result.peakRssBytes).toBeLessThan(RSS_MAX_BYTES);
      if (verb !== "show") continue;
      const { traffic } = JSON.parse(result.stdout) as { traffic: { requests: number; bytes: number } };
      expect(traffic.bytes).toBeLessThan(4_000_000);
      // One more finds the object.
      if (where !== local) expect(traffic.requests).toBeLessThanOrEqual(7);
    }
  });

  it.each(["as built", "as the npm package"])(
    "the others stay small too, %s",
    async (how) => {
      // A package of npm is started without the flags that our launcher gives.
      const program = [builtPath("cdh-inspect"), []] as const;
      const node = join(REPOSITORY, "dist/node/bin/node");
      const [path, before] = how === "as built" ? program : [node, [join(REPOSITORY, "dist/lib/cdh-inspect.mjs")]];
      const target = join(place, how.replaceAll(" ", "-"));
      for (const [args, status] of [
        [["cat", "s3://cores/large.zip", "core", "--range", `${NOISE.from}Mi+768Mi`], 0],
        [["verify", "s3://cores/medium.zip"], 3],
        [["unpack", "s3://cores/medium.zip", target, "--entry", "core"], 0],
      ] as const) {
        // `exec` keeps the pid, whose memory is looked at.
        const quietly = ["-c", 'exec "$0" "$@" >/dev/null', path, ...before, ...args];
        const result = await runPath("/bin/sh", quietly, { env, timeoutMs: 120_000 });
        expect(result.exitCode, result.stderr).toBe(status);
        expect(result.peakRssBytes).toBeLessThan(RSS_MAX_BYTES);
      }
      expect((await stat(join(target, `${SAMPLE_NAME}.core`))).size).toBe(1024 * MIB);
    },
    300_000,
  );
});
