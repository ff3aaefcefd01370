import { CorePipeline, type CoreSummary } from "../bundle/core-pipeline.ts";
import { formatDumpInfo } from "../bundle/dump-info.ts";
import { makeFrameCompressor } from "../bundle/frame-compressor.ts";
import type { Compression } from "../bundle/manifest.ts";
import { layOutBundle, type SmallEntry } from "../bundle/writer.ts";
import { SAMPLE_NAME, sampleDumpInfo } from "./sample-bundle.ts";

/** A core as a pipeline wrote it. */
export interface PipedCore {
  /** The entry, trailer included. */
  stored: Buffer;
  summary: CoreSummary;
}

/** Send a core through a pipeline into memory. */
export async function pipeCore(
  core: Uint8Array,
  compression: Compression,
  options: { threads?: number; buffers?: number } = {},
): Promise<PipedCore> {
  const parts: { bytes: Buffer; offset: number }[] = [];
  const pipeline = new CorePipeline({
    compressor: makeFrameCompressor(compression),
    threads: options.threads ?? 2,
    buffers: options.buffers ?? 4,
    // Copied, because a buffer is used again once it is written.
    sink: { write: async (bytes, offset) => void parts.push({ bytes: Buffer.from(bytes), offset }) },
  });
  await submitAll(pipeline, core);
  await pipeline.settle();
  if (pipeline.failure !== undefined) throw pipeline.failure;
  const trailer = pipeline.trailer();
  const summary = pipeline.summarise(trailer);
  const stored = Buffer.alloc(summary.storedBytes);
  for (const { bytes, offset } of [...parts, { bytes: trailer, offset: pipeline.bodyBytes }]) stored.set(bytes, offset);
  return { stored, summary };
}

/** Hand a core to a pipeline in buffers of its own. */
export async function submitAll(pipeline: CorePipeline, core: Uint8Array): Promise<void> {
  for (let at = 0; at < core.length;) {
    const buffer = await pipeline.acquire();
    const length = Math.min(buffer.length, core.length - at);
    buffer.set(core.subarray(at, at + length));
    pipeline.submit(buffer, length);
    at += length;
  }
}

/** A bundle as composers write it: dump info, the core, a few entries; `coreOffset` is where the core's data begins. */
export async function composeBundle(
  core: Uint8Array,
  compression: Compression,
  rest: readonly SmallEntry[] = [{ name: `${SAMPLE_NAME}-0.log`, bytes: Buffer.from("last words\n") }],
): Promise<{ bytes: Buffer; coreOffset: number; storedBytes: number }> {
  const name = `${SAMPLE_NAME}.core${compression === "zstd" ? ".zst" : ""}`;
  const dumpInfo = formatDumpInfo(sampleDumpInfo(name));
  const { stored, summary } = await pipeCore(core, compression);
  const layout = {
    name,
    method: compression === "deflate" ? ("deflate" as const) : ("stored" as const),
    ...summary,
  };
  const first = { name: `${SAMPLE_NAME}-dump-info.json`, bytes: Buffer.from(dumpInfo) };
  const { head, tail } = await layOutBundle(new Date(1_795_249_571_000), first, layout, rest);
  return { bytes: Buffer.concat([head, stored, tail]), coreOffset: head.length, storedBytes: stored.length };
}
