import type { JsonObject } from "../base/records.ts";
import { digText } from "./json.ts";

/** IBM's rule: the image whose id is the container's `imageRef`, or whose digests hold it; else one tagged so. */
export function findImage(
  images: readonly JsonObject[] | undefined,
  imageRef: string | undefined,
): JsonObject | undefined {
  if (images === undefined || imageRef === undefined) return undefined;
  const texts = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
  return (
    images.find((image) => image["id"] === imageRef) ??
    images.find((image) => texts(image["repoDigests"]).includes(imageRef)) ??
    images.find((image) => texts(image["repoTags"]).includes(imageRef)) ??
    images.find((image) => digText(image, "id")?.replace(/^sha256:/, "") === imageRef.replace(/^sha256:/, ""))
  );
}

/** The first digest of an image; empty where it has none. */
export function firstDigest(imageInfo: JsonObject | undefined): string {
  const digests = imageInfo?.["repoDigests"];
  return Array.isArray(digests) && typeof digests[0] === "string" ? digests[0] : "";
}
