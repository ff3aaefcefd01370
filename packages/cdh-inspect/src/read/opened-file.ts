import { basename } from "node:path";
import { once } from "@cdh/core/async/once";
import type { CoreReader } from "@cdh/core/bundle/core-layout";
import { openCore } from "@cdh/core/bundle/core-reader";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundle, type Bundle } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import type { RandomAccessSource } from "@cdh/core/bundle/reader-source";
import { withCoreFacts } from "@cdh/core/crash/manifest-of";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { fileKindOf, MAGIC_BYTES, type FileKind } from "@cdh/core/foreign/core-encoding";
import { describeIbmBundle } from "@cdh/core/foreign/ibm-bundle";
import { describePlainCore, openPlainCore } from "@cdh/core/foreign/plain-core";
import { factsOf } from "./core-facts.ts";

/** What a command looks at: a bundle of ours, an older one, or a core by itself. */
export interface OpenedFile {
  /** Path or URL. */
  readonly label: string;
  readonly kind: "bundle" | "older" | "core";
  readonly sizeBytes: number;
  /** The composer's; of other files, the same told from what there is. */
  readonly manifest: Manifest;
  /** The zip; a core by itself has none. */
  readonly bundle?: Bundle;
  readonly source: RandomAccessSource;
  /** Open the core. @throws {CdhError} CDH_BUNDLE_NO_CORE, CDH_BUNDLE_SEEK_TABLE */
  core(): Promise<CoreReader>;
  /** Read the core's own headers and notes, build-ids included. */
  facts(): Promise<CoreFacts>;
  close(): Promise<void>;
}

/** Say how much to read. */
export interface OpenFileOptions {
  /** Leave a core without a manifest alone: a listing must stay cheap. */
  skipCore?: boolean;
  /** When the file was changed, epoch milliseconds: a core by itself has no other time. */
  modifiedAt?: number;
  signal?: AbortSignal;
}

/** A stream smaller than this is read through to learn the core's size. */
const MEASURE_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Read what a source holds. The source is closed again when it is none of ours.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export async function openFile(source: RandomAccessSource, options: OpenFileOptions = {}): Promise<OpenedFile> {
  try {
    const head = await source.read(0, Math.min(MAGIC_BYTES, source.sizeBytes), options.signal);
    const kind = fileKindOf(head);
    // A zip may have something before it; whatever else is not known goes the zip's way for its error.
    return kind === "zip" || kind === "unknown"
      ? await readBundle(source, options)
      : await readCore(source, kind, options);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readBundle(source: RandomAccessSource, options: OpenFileOptions): Promise<OpenedFile> {
  const bundle = await openBundle(source);
  const written = await readManifest(bundle);
  const core = once(() => openCore(bundle, written));
  const facts = once(async () =>
    withHashes(await factsOf(await core(), { everything: true, ...signalOf(options) }), written),
  );
  let manifest = written ?? (await describeIbmBundle(bundle, nameOf(bundle)));
  if (written === undefined && options.skipCore !== true && manifest.core.entry !== "")
    manifest = await fillSafely(manifest, await core(), options);
  return {
    label: source.label,
    kind: written === undefined ? "older" : "bundle",
    sizeBytes: source.sizeBytes,
    manifest,
    bundle,
    source,
    core,
    facts,
    close: () => bundle.close(),
  };
}

async function readCore(source: RandomAccessSource, kind: FileKind, options: OpenFileOptions): Promise<OpenedFile> {
  const reader = await openPlainCore(source, kind);
  const sizeBytes =
    reader.sizeBytes ??
    (options.skipCore !== true && source.sizeBytes <= MEASURE_MAX_BYTES ? await measure(reader, options) : undefined);
  const about = { layout: reader.layout, sizeBytes, storedBytes: source.sizeBytes };
  const named = describePlainCore(reader.name, about, options.modifiedAt);
  const manifest = await fillSafely(named, reader, options, sizeBytes);
  return {
    label: source.label,
    kind: "core",
    sizeBytes: source.sizeBytes,
    manifest,
    source,
    core: async () => reader,
    facts: once(() => factsOf(reader, { everything: true, ...signalOf(options) })),
    close: () => source.close(),
  };
}

/** Add what the composer read of files that have no build-id; the core does not tell. */
function withHashes(facts: CoreFacts, written: Manifest | undefined): CoreFacts {
  const hashes = new Map((written?.modules ?? []).map(({ path, sha256 }) => [path, sha256]));
  return {
    ...facts,
    modules: facts.modules.map((module) => {
      const sha256 = module.buildId === undefined ? hashes.get(module.path) : undefined;
      return sha256 === undefined ? module : { ...module, sha256 };
    }),
  };
}

/** `N`, by the bundle's entries; where they do not tell, by its own file. */
function nameOf(bundle: Bundle): string {
  return bundle.name ?? basename(bundle.source.label).replace(/\.zip$/, "");
}

/** Add the core's facts; a core that cannot be read is a problem of the report, not its end. */
async function fillSafely(
  manifest: Manifest,
  core: CoreReader,
  options: OpenFileOptions,
  sizeBytes = core.sizeBytes,
): Promise<Manifest> {
  try {
    return withCoreFacts(manifest, await factsOf(core, signalOf(options)), sizeBytes);
  } catch (error) {
    if (!(error instanceof CdhError) || !error.code.startsWith("CDH_BUNDLE_")) throw error;
    return {
      ...manifest,
      problems: [...manifest.problems, { step: "core", code: error.code, detail: reasonOf(error) }],
    };
  }
}

async function measure(core: CoreReader, options: OpenFileOptions): Promise<number> {
  let sizeBytes = 0;
  for await (const { bytes } of core.chunks(signalOf(options))) sizeBytes += bytes.length;
  return sizeBytes;
}

function signalOf(options: OpenFileOptions): { signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}
