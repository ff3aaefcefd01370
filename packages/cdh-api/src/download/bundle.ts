import type { AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { BUNDLE_SUFFIX } from "../index/store-reader.ts";
import { dumpNotFound } from "../kube/api-error.ts";
import { findDump } from "../kube/read.ts";
import type { Validators } from "./range.ts";
import { sendBody } from "./send-body.ts";
import { permitDownload } from "./ticketed.ts";

/** Small, because hundreds of downloads each hold one or two of them. */
export const PIECE_BYTES = 64 * 1024;

/** File name of a dump's bundle. */
export function bundleNameOf(record: DumpRecord): string {
  return `${record.stem.slice(record.stem.lastIndexOf("/") + 1)}${BUNDLE_SUFFIX}`;
}

/** What the store shows of a bundle. @throws {ApiError} 404 */
export async function bundleFacts(
  app: AppContext,
  record: DumpRecord,
  signal: AbortSignal,
): Promise<{ key: string; sizeBytes: number; validators: Validators }> {
  const key = `${record.stem}${BUNDLE_SUFFIX}`;
  const object = await app.dumps.store.head(key, signal);
  if (object === undefined) throw dumpNotFound(record.name, "has no bundle in the store any more");
  const sha256 = object.metadata?.["cdh-sha256"];
  const tag = sha256 ?? object.etag ?? `${object.sizeBytes}-${Math.round(object.modifiedAt)}`;
  return {
    key,
    sizeBytes: object.sizeBytes,
    validators: { etag: `"${tag.replaceAll(/[^\w.-]/g, "_")}"`, modifiedAt: object.modifiedAt },
  };
}

/** Send the zip as it lies in the store. */
export async function sendBundle(app: AppContext, exchange: Exchange, namespace: string, name: string): Promise<void> {
  const who = await permitDownload(app, exchange, { namespace, name, subresource: "bundle" });
  const record = await findDump(app, namespace, name);
  await app.downloads.run(async () => {
    const { key, sizeBytes, validators } = await bundleFacts(app, record, exchange.signal);
    await sendBody(app, exchange, {
      ...who,
      record,
      subresource: "bundle",
      contentType: "application/zip",
      fileName: bundleNameOf(record),
      validators,
      sizeBytes,
      open: async ({ start, end }, signal) => {
        const range = { offset: start, length: end - start, chunkBytes: PIECE_BYTES };
        const pieces = await app.dumps.store.get(key, range, signal);
        if (pieces === undefined) throw dumpNotFound(name, "has no bundle in the store any more");
        return pieces;
      },
    });
  });
}
