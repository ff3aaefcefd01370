import { CdhError } from "../../base/errors.ts";
import type { StoreSettings } from "../settings.ts";

/** Say which bucket is meant and how to reach it. */
export interface GcsTarget {
  /** Absolute URL of the service, without a slash at its end: `https://storage.googleapis.com`. */
  serviceUrl: string;
  bucket: string;
  /** Without slashes at its ends; empty for none. */
  prefix: string;
  /** Send requests without a token, as emulators want it. */
  isAnonymous: boolean;
}

/** @see https://cloud.google.com/storage/docs/buckets#naming */
const BUCKET_NAME = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/;

/**
 * Work out the target from `gs://bucket/prefix`, GCS_ENDPOINT, and STORAGE_EMULATOR_HOST as Google's tools read it.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function resolveGcsTarget(
  settings: StoreSettings,
  env: Readonly<Record<string, string | undefined>>,
): GcsTarget {
  const match = /^gs:\/\/([^/]+)\/?(.*)$/s.exec(settings.storeUrl ?? "");
  const shown = JSON.stringify(settings.storeUrl);
  if (match === null) throw new CdhError("CDH_CONFIG_INVALID", `STORE_URL ${shown}: not gs://bucket/prefix`);
  const [, bucket = "", path = ""] = match;
  if (!BUCKET_NAME.test(bucket)) {
    throw new CdhError("CDH_CONFIG_INVALID", `STORE_URL ${shown}: ${JSON.stringify(bucket)} is no bucket's name`, {
      hint: "lower-case letters, digits, dashes, dots and underscores",
    });
  }
  const emulator = env["STORAGE_EMULATOR_HOST"] ?? "";
  const endpoint = settings.gcsEndpoint ?? (emulator === "" ? "https://storage.googleapis.com" : emulator);
  return {
    serviceUrl: serviceUrl(endpoint),
    bucket,
    prefix: path.replaceAll(/\/{2,}/g, "/").replaceAll(/^\/|\/$/g, ""),
    isAnonymous: emulator !== "",
  };
}

function serviceUrl(text: string): string {
  const withScheme = /^https?:\/\//i.test(text) ? text : `https://${text}`;
  if (!URL.canParse(withScheme))
    throw new CdhError("CDH_CONFIG_INVALID", `GCS_ENDPOINT ${JSON.stringify(text)}: not an address`);
  return withScheme.replace(/\/+$/, "");
}
