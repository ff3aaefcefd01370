import { decodeMetadata, encodeMetadata } from "../metadata-text.ts";

/**
 * Write user metadata as Azure takes it: names are identifiers of C#, so a dash becomes an underscore.
 * @see https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
 */
export function toAzureMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return renamed(encodeMetadata(metadata), "-", "_");
}

/** Read what {@link toAzureMetadata} wrote. */
export function fromAzureMetadata(metadata: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return renamed(decodeMetadata(metadata), "_", "-");
}

function renamed(metadata: Record<string, string>, from: string, to: string): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name.replaceAll(from, to), value]));
}
