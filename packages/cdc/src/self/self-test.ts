import { createHash } from "node:crypto";
import { zstdDecompressSync, inflateRawSync } from "node:zlib";
import { tryMisuseOfZlib } from "@cdh/core/bundle/compressor-lane";
import { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import { makeFrameCompressor, makeFrameStream } from "@cdh/core/bundle/frame-compressor";
import type { Compression } from "@cdh/core/bundle/manifest";
import { layOutBundle } from "@cdh/core/bundle/writer";
import { CdhError } from "@cdh/core/errors";
import { loadNative } from "./load-native.ts";

/**
 * Prove that this executable can do its work where it stands: its libraries load, it may make code executable, every
 * compression gives back what went in. Writes nothing.
 * @returns what was checked, a line each
 * @throws {CdhError} CDH_ENVIRONMENT when something does not work
 */
export async function selfTest(): Promise<string[]> {
  const checks: string[] = [];
  const core = sampleCore();
  for (const compression of ["zstd", "deflate", "none"] as const) {
    const stored = await pass(core, compression);
    const back =
      compression === "zstd" ? zstdDecompressSync(stored) : compression === "deflate" ? inflateRawSync(stored) : stored;
    if (!back.equals(core))
      throw new CdhError("CDH_ENVIRONMENT", `self-test failed: ${compression} does not give back what went in`);
    checks.push(`${compression}: ${core.length} bytes to ${stored.length} and back`);
  }
  for (const compression of ["zstd", "deflate"] as const) {
    const misuse = await tryMisuseOfZlib(makeFrameStream(compression));
    if (misuse !== undefined) throw new CdhError("CDH_ENVIRONMENT", `self-test failed: ${misuse}`);
  }
  checks.push("compressors: one output buffer for all frames");
  const entry = { name: "a", bytes: Buffer.from("{}") };
  const layout = await layOutBundle(
    new Date(0),
    entry,
    { name: "b", method: "stored", crc32: 0, storedBytes: 0, sizeBytes: 0 },
    [entry],
  );
  if (layout.head.length === 0 || layout.tail.length === 0)
    throw new CdhError("CDH_ENVIRONMENT", "self-test failed: no zip");
  checks.push("zip: laid out");
  checks.push(
    (await loadNative()).isThere
      ? "system calls: available"
      : "system calls: not available, small pipes and no waiting line",
  );
  return checks;
}

async function pass(core: Buffer, compression: Compression): Promise<Buffer> {
  const written = Buffer.alloc(core.length + 65_536);
  const sink = { write: async (bytes: Uint8Array, offset: number) => void written.set(bytes, offset) };
  const pipeline = new CorePipeline({ compressor: makeFrameCompressor(compression), sink, threads: 2, buffers: 3 });
  for (let offset = 0; offset < core.length;) {
    const buffer = await pipeline.acquire();
    const length = core.copy(buffer, 0, offset);
    pipeline.submit(buffer, length);
    offset += length;
  }
  await pipeline.settle();
  if (pipeline.failure !== undefined) throw pipeline.failure;
  const trailer = pipeline.trailer();
  const summary = pipeline.summarise(trailer);
  if (summary.sha256 !== createHash("sha256").update(core).digest("hex"))
    throw new CdhError("CDH_ENVIRONMENT", "self-test failed: hash");
  return Buffer.concat([written.subarray(0, pipeline.bodyBytes), trailer]);
}

/** Two frames and a bit: text, zeros, text. */
function sampleCore(): Buffer {
  const core = Buffer.alloc(2 * 1024 * 1024 + 12_345);
  core.write("core dump handler ".repeat(1000), 0);
  core.write("the end", core.length - 7);
  return core;
}
