import { BundleFile } from "@cdh/core/bundle/bundle-file";
import type { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import type { Problem } from "@cdh/core/bundle/manifest";
import { FrameReader, sumUp, type WrittenEntry } from "@cdh/core/bundle/read-back";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import type { Work } from "../request.ts";
import { makePipeline, type TakenCore } from "../take/take-core.ts";
import type { OpenBundle } from "./open-bundle.ts";

/** A core's entry in a bundle that can be finished. */
export interface KeptCore {
  bundle: BundleFile;
  pipeline: CorePipeline;
}

/** What packing needs. */
type Given = Pick<Work, "settings" | "coreDir" | "limit" | "native" | "ends">;

/** Frames in memory: enough for compressors and hash, which read from a file. */
const BUFFERS = 10;

/** Frames between two times that memory is given back: what is unpacked leaves a mebibyte of garbage each time. */
const TIDY_FRAMES = 8;

/**
 * Pack a core that was taken raw: into a file of its own, which takes the raw one's place when it is published. Until then
 * the raw one stays, so that whoever salvages a dead composer's file finds all of the core.
 * @returns `failed` when it could not be packed; then the raw one can be published as it is, see {@link keepRaw}
 */
export async function packCore(
  given: Given,
  { file, bundle: raw }: OpenBundle,
  taken: Pick<TakenCore, "pipeline" | "enterSlot">,
): Promise<KeptCore | { failed: Problem }> {
  let packed: KeptCore | undefined;
  try {
    const place = await file.beginPacked();
    const bundle = await BundleFile.begin(place, raw.start);
    const pipeline = makePipeline(given, Promise.resolve({ bundle }), { buffers: BUFFERS });
    given.ends.defer(() => pipeline.abandon());
    packed = { bundle, pipeline };
    await repack(given, writtenIn(given, file, raw), taken, pipeline);
    if (pipeline.failure !== undefined) throw pipeline.failure;
    return packed;
  } catch (error) {
    packed?.pipeline.abandon();
    await file.dropPacked();
    return { failed: notPacked(error) };
  }
}

/** Say that a core is published as it was taken. */
export function notPacked(error: unknown): Problem {
  const code = error instanceof CdhError ? error.code : (errnoOf(error) ?? "CDH_DISK");
  return { step: "pack", code, detail: `the core is not compressed: ${reasonOf(error)}` };
}

/** Make what a raw core's bundle needs to be published as it is. @throws {Error} when it can't be read back */
export async function keepRaw(
  given: Given,
  { file, bundle }: OpenBundle,
  { pipeline }: Pick<TakenCore, "pipeline">,
): Promise<KeptCore> {
  if (pipeline.failure !== undefined) pipeline.shrinkBy(0);
  await sumUp(pipeline, writtenIn(given, file, bundle));
  return { bundle, pipeline };
}

async function repack(
  { native, limit }: Given,
  entry: WrittenEntry,
  taken: Pick<TakenCore, "pipeline" | "enterSlot">,
  pipeline: CorePipeline,
): Promise<void> {
  // The buffers that the core arrived in.
  native.collectGarbage();
  const reader = new FrameReader(entry);
  let unpacked = 0;
  for (const frame of taken.pipeline.frames()) {
    if (pipeline.failure !== undefined) break;
    if (frame.kind === "zero") {
      await pipeline.submitZeros();
      continue;
    }
    await taken.enterSlot(limit.signal);
    const core = await reader.core(frame, await reader.stored(frame));
    const buffer = await pipeline.acquire();
    pipeline.submit(buffer, core.copy(buffer));
    if (frame.kind !== "packed") continue;
    unpacked += 1;
    if (unpacked % TIDY_FRAMES === 0) native.collectGarbage();
  }
  await pipeline.settle();
}

function writtenIn({ native }: Given, file: OpenBundle["file"], bundle: BundleFile): WrittenEntry {
  return { checksum: native.checksum, read: (into, offset) => file.read(into, bundle.headBytes + offset) };
}
