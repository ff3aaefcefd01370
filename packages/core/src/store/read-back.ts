import { createHash } from "node:crypto";
import { CdhError } from "../base/errors.ts";

/**
 * Hash an object that the store showed a moment ago.
 * @param body what the store gives of it; undefined when it gives nothing
 * @param about its key and store, for messages, and the size that was shown
 * @returns SHA-256, lower-case hexadecimal
 * @throws {CdhError} CDH_STORE_MISMATCH when other than the shown number of bytes came: that says nothing about what lies there
 */
export async function hashBody(
  body: AsyncIterable<Uint8Array> | undefined,
  about: { key: string; url: string; sizeBytes: number },
): Promise<string> {
  const { key, sizeBytes, url } = about;
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of body ?? []) {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > sizeBytes) break;
  }
  if (body !== undefined && bytes === sizeBytes) return hash.digest("hex");
  throw new CdhError("CDH_STORE_MISMATCH", `cannot compare ${key} in ${url}: what was read is not what was shown`, {
    hint: "it is tried again; when it stays so, something before the store changes what is read",
    details: { key, sizeBytes, readBytes: bytes },
  });
}
