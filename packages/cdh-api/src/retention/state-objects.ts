import { CdhError } from "@cdh/core/errors";
import type { ObjectStore } from "@cdh/core/store/store";
import { isGarbage } from "../index/store-reader.ts";
import { STATE_FOLDER, STATE_LIMITS } from "../manifests/state-limits.ts";

/**
 * Read a JSON object of ours; undefined when there is none, or none that can be read: everything that is kept
 * there only ever makes retention do more, so losing it is safe.
 * @throws {CdhError} CDH_STORE…
 */
export async function readState<T>(
  store: ObjectStore,
  name: string,
  parse: (bytes: Buffer) => Promise<T>,
  signal: AbortSignal,
): Promise<T | undefined> {
  const body = await store.get(`${STATE_FOLDER}${name}`, { offset: 0, length: STATE_LIMITS.bytes }, signal);
  if (body === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  try {
    return await parse(Buffer.concat(chunks));
  } catch (error) {
    if (isGarbage(error)) return undefined;
    throw error;
  }
}

/** Replace it. @throws {CdhError} CDH_STORE… */
export async function writeState(store: ObjectStore, name: string, value: unknown, signal: AbortSignal): Promise<void> {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  await store.putBytes(`${STATE_FOLDER}${name}`, body, { overwrite: true, contentType: "application/json", signal });
}

/** How far the store's clock and ours may be apart. */
const CLOCK_TOLERANCE_MS = 600_000;

/**
 * Hold our clock against the store's: a clock that jumped years ahead would make everything old.
 * @param writtenAt when the object of that name was written, by our clock
 * @throws {CdhError} CDH_ENVIRONMENT, CDH_STORE…
 */
export async function checkClock(
  store: ObjectStore,
  name: string,
  writtenAt: number,
  signal: AbortSignal,
): Promise<void> {
  const shown = await store.head(`${STATE_FOLDER}${name}`, signal);
  if (shown === undefined) throw new CdhError("CDH_STORE", `cannot find what was just written to ${store.url}`);
  const apartMs = Math.abs(shown.modifiedAt - writtenAt);
  if (apartMs <= CLOCK_TOLERANCE_MS) return;
  throw new CdhError(
    "CDH_ENVIRONMENT",
    `cannot judge ages: the clock here and that of ${store.url} are ${Math.round(apartMs / 1000)} s apart`,
    { hint: "set the clock of the node; nothing was removed" },
  );
}
