import type { CoreReader } from "@cdh/core/bundle/core-layout";
import { openCore } from "@cdh/core/bundle/core-reader";
import { openBundle, type Bundle } from "@cdh/core/bundle/reader";
import { readManifestEntry } from "@cdh/core/bundle/reader-manifest";
import { storeSource } from "@cdh/core/bundle/reader-source";
import type { AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import type { Exchange } from "../http/exchange.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../index/placement.ts";
import { findDump } from "../kube/read.ts";
import type { ManifestHead } from "../manifests/head.ts";
import { parseInThread } from "../manifests/thread.ts";
import { bundleFacts } from "./bundle.ts";
import type { Span, Validators } from "./range.ts";
import { sendBody } from "./send-body.ts";

/** Frames are decoded one at a time for each client. */
const READ_BYTES = 1024 * 1024;
/** What is handed to the connection at once. */
const PIECE_BYTES = 256 * 1024;

/** A bundle that is open in the store. */
export interface OpenDump {
  bundle: Bundle;
  /** Read the bundle's own manifest, for `parseInThread`; undefined when it has none. */
  readManifest(): Promise<Buffer | undefined>;
  validators: Validators;
  sizeBytes: number;
}

/** Work with a dump's bundle in the store, reading only the parts that are needed. */
export async function withBundle<T>(
  app: AppContext,
  record: DumpRecord,
  signal: AbortSignal,
  work: (open: OpenDump) => Promise<T>,
): Promise<T> {
  const { key, sizeBytes, validators } = await bundleFacts(app, record, signal);
  const bundle = await openBundle(await storeSource(app.dumps.store, key, { sizeBytes, signal }));
  try {
    return await work({ bundle, readManifest: () => readManifestEntry(bundle), validators, sizeBytes });
  } finally {
    await bundle.close();
  }
}

/** Read what a download needs of the bundle's own manifest; undefined when it has none. */
export async function headOfBundle(open: OpenDump, label: string): Promise<ManifestHead | undefined> {
  const bytes = await open.readManifest();
  return bytes === undefined ? undefined : await parseInThread("head", bytes, label);
}

/** Send the core, decompressed. */
export async function sendCore({ app, exchange, param, who }: Call): Promise<void> {
  const record = await findDump(app, param("namespace"), param("name"));
  await sendCoreOf(app, exchange, record, who);
}

/** Send a core to somebody who may have it. */
export async function sendCoreOf(
  app: AppContext,
  exchange: Exchange,
  record: DumpRecord,
  who: { user: string; via: string },
  fileName = `${bundleNameOf(record).replace(/\.zip$/, "")}.core`,
): Promise<void> {
  await app.gates.cores.run(exchange.share, () =>
    app.gates.downloads.run(exchange.share, () =>
      withBundle(app, record, exchange.signal, async (open) => {
        const { bundle, validators } = open;
        const core = await openCore(bundle, await headOfBundle(open, record.stem));
        await sendBody(app, exchange, {
          ...who,
          record,
          subresource: "core",
          contentType: "application/octet-stream",
          fileName,
          validators: { ...validators, etag: validators.etag.replace(/"$/, '-core"') },
          // What the reader itself knows: a manifest could promise anything.
          sizeBytes: core.sizeBytes,
          open: (span, signal) => piecesOf(core, span, signal),
        });
      }),
    ),
  );
}

async function* piecesOf(core: CoreReader, { start, end }: Span, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (core.layout === "frames" || core.layout === "stored") {
    for (let at = start; at < end;) {
      const bytes = await core.read(at, Math.min(READ_BYTES - (at % READ_BYTES), end - at), signal);
      if (bytes.length === 0) return;
      at += bytes.length;
      yield* slices(bytes);
    }
    return;
  }
  for await (const { bytes, offset } of core.chunks({ from: start, signal })) {
    if (offset >= end) return;
    // Their memory is freed when the next is asked for, and the connection may hold them longer.
    yield* slices(Buffer.from(bytes.subarray(0, end - offset)));
  }
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
