import { CdhError } from "../../base/errors.ts";
import type { StoreSettings } from "../settings.ts";

/** Say which bucket is meant and how to reach it. */
export interface S3Target {
  bucket: string;
  /** Without slashes at its ends; empty for none. */
  prefix: string;
  region: string;
  /** Absolute URL; absent for AWS itself. */
  endpoint: string | undefined;
  forcePathStyle: boolean;
}

/** Regions that other providers name, and the endpoint each belongs to. */
const PROVIDER_REGIONS: Record<string, string> = {
  ...Object.fromEntries(
    ["ams3", "blr1", "fra1", "lon1", "nyc3", "sfo2", "sfo3", "sgp1", "syd1", "tor1"].map((name) => [
      name,
      `${name}.digitaloceanspaces.com`,
    ]),
  ),
  "ru-central1": "storage.yandexcloud.net",
  ...Object.fromEntries(
    ["us-east-1", "us-east-2", "us-central-1", "us-west-1", "eu-central-1"].map((name) => [
      `wa-${name}`,
      `s3.${name}.wasabisys.com`,
    ]),
  ),
};

/** `us-east-1`, `us-gov-west-1`, `us-isob-east-1`, and `auto`, which Cloudflare and Google take. */
const REGION_NAME = /^([a-z]{2,}(-[a-z]+)+-\d+|auto)$/;

/** AWS needs a region to sign for; other services take any. */
const DEFAULT_REGION = "us-east-1";

/**
 * Work out the target from `s3://bucket/prefix`, or from the S3_* settings as IBM's agent understood them: an S3_REGION
 * that is no region's name is both the region and the endpoint's host.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function resolveS3Target(settings: StoreSettings, env: Readonly<Record<string, string | undefined>>): S3Target {
  const { bucket, prefix } = bucketAndPrefix(settings);
  const region = settings.s3Region?.trim();
  const fallback = env["AWS_REGION"] ?? env["AWS_DEFAULT_REGION"] ?? DEFAULT_REGION;
  let endpoint = settings.s3Endpoint;
  if (endpoint === undefined && region !== undefined && !REGION_NAME.test(region))
    endpoint = PROVIDER_REGIONS[region] ?? region;
  if (endpoint === undefined && region !== undefined) endpoint = PROVIDER_REGIONS[region];
  // An address in place of a region cannot stand in a signature's scope when it has a scheme or a path.
  const usable = region === undefined || /[/:]/.test(region) ? fallback : region;
  return {
    bucket,
    prefix,
    region: usable,
    endpoint: endpoint === undefined ? undefined : endpointUrl(endpoint),
    // A bucket whose name holds dots does not fit the wildcard certificate of virtual hosts.
    forcePathStyle: settings.s3ForcePathStyle ?? (endpoint !== undefined || bucket.includes(".")),
  };
}

function bucketAndPrefix(settings: StoreSettings): { bucket: string; prefix: string } {
  const url = settings.storeUrl;
  if (url === undefined) return { bucket: checkBucket(settings.s3BucketName ?? ""), prefix: "" };
  const match = /^s3:\/\/([^/]+)\/?(.*)$/s.exec(url);
  if (match === null)
    throw new CdhError("CDH_CONFIG_INVALID", `STORE_URL ${JSON.stringify(url)}: not s3://bucket/prefix`);
  const prefix = (match[2] ?? "").replaceAll(/\/{2,}/g, "/").replaceAll(/^\/|\/$/g, "");
  return { bucket: checkBucket(match[1] ?? ""), prefix };
}

function checkBucket(bucket: string): string {
  const trimmed = bucket.trim();
  // Not only AWS's rules: other services have bucket names with upper case and underscores.
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(trimmed)) return trimmed;
  throw new CdhError("CDH_CONFIG_INVALID", `${JSON.stringify(bucket)} is no bucket's name`, {
    hint: "set STORE_URL=s3://bucket/prefix, or S3_BUCKET_NAME",
  });
}

function endpointUrl(text: string): string {
  const withScheme = /^https?:\/\//i.test(text) ? text : `https://${text}`;
  if (!URL.canParse(withScheme))
    throw new CdhError("CDH_CONFIG_INVALID", `S3_ENDPOINT ${JSON.stringify(text)}: not an address`);
  const url = new URL(withScheme);
  if (url.username !== "" || url.password !== "") {
    throw new CdhError("CDH_CONFIG_INVALID", "S3_ENDPOINT holds a name and a password", {
      hint: "use S3_ACCESS_KEY and S3_SECRET",
    });
  }
  return withScheme.replace(/\/+$/, "");
}
