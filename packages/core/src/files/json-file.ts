import { CdhError } from "../base/errors.ts";
import { JSON_LIMITS, tryParseJson, type JsonLimits } from "../base/json.ts";
import { openRegularFile } from "./regular-file.ts";

/**
 * Read a small JSON file that others may have put in its place: a regular file, not through a link, and no more of it
 * than the limits allow.
 * @returns undefined when there is none, or what is there is no JSON within the limits
 * @throws {CdhError} CDH_DISK when it is no regular file or cannot be opened; the system's error when it cannot be read
 */
export async function readJsonFile(path: string, limits: JsonLimits = JSON_LIMITS): Promise<unknown> {
  const file = await openRegularFile(path).catch((error: unknown) => {
    if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    if (size > limits.bytes) return undefined;
    const bytes = Buffer.alloc(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return tryParseJson(bytes.subarray(0, filled), limits);
  } finally {
    await file.close();
  }
}
