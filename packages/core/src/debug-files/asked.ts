import { toRfc3339 } from "../base/clock.ts";
import type { ObjectStore } from "../store/store.ts";
import { askedKey, DEBUG_FOLDER, tryParseAskedKey } from "./keys.ts";

/**
 * Note in the store that a node relies on the files of a build-id, which it therefore does not send. Whoever removes files waits from then.
 * @param now epoch milliseconds
 * @throws {CdhError} the CDH_STORE family
 */
export async function noteAsked(store: ObjectStore, buildId: string, now: number, signal?: AbortSignal): Promise<void> {
  // With its time in it no two are the same, so that each gets a date of its own from the store.
  const body = Buffer.from(`${toRfc3339(now)}\n`);
  await store.putBytes(askedKey(buildId), body, {
    overwrite: true,
    contentType: "text/plain",
    ...(signal === undefined ? {} : { signal }),
  });
}

/** List when nodes relied last on which files: epoch milliseconds by the store's clock, by build-id. @throws {CdhError} the CDH_STORE family */
export async function listAsked(store: ObjectStore, signal?: AbortSignal): Promise<Map<string, number>> {
  const asked = new Map<string, number>();
  for await (const { key, modifiedAt } of store.list(DEBUG_FOLDER, signal === undefined ? {} : { signal })) {
    const buildId = tryParseAskedKey(key);
    if (buildId !== undefined) asked.set(buildId, modifiedAt);
  }
  return asked;
}
