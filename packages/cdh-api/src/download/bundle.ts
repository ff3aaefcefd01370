import type { AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { dumpNotFound } from "../http/api-error.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../index/placement.ts";
import { BUNDLE_SUFFIX } from "../index/store-reader.ts";
import { findDump } from "../kube/read.ts";
import type { Validators } from "./range.ts";
import { sendBody } from "./send-body.ts";

/** Small, because hundreds of downloads each hold one or two of them. */
export const PIECE_BYTES = 64 * 1024;

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
export async function sendBundle({ app, exchange, param, who }: Call): Promise<void> {
  const name = param("name");
  const record = await findDump(app, param("namespace"), name);
  await app.gates.downloads.run(exchange.share, async () => {
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
