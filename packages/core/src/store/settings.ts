import { CdhError } from "../errors.ts";
import { defineSettings, parsers, setting, type SettingsOf } from "../config.ts";

const partSize = (text: string): number => {
  const bytes = parsers.bytes(text);
  if (bytes < 5 * 1024 ** 2 || bytes > 5 * 1024 ** 3)
    throw new CdhError("CDH_CONFIG_INVALID", "S3 takes parts from 5Mi to 5Gi");
  return bytes;
};

/** The settings that name a store and say how to talk to it; every program that opens one spreads them into its table. */
export const storeSettings = defineSettings({
  storeUrl: setting<string | undefined>({
    env: "STORE_URL",
    flag: "--store",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Where bundles go: s3://bucket/prefix or file:///directory. Without it: S3_BUCKET_NAME.",
  }),
  s3BucketName: setting<string | undefined>({
    env: "S3_BUCKET_NAME",
    parse: parsers.optionalText,
    default: undefined,
    doc: "The bucket, when STORE_URL is not set.",
  }),
  s3Region: setting<string | undefined>({
    env: "S3_REGION",
    parse: parsers.optionalText,
    default: undefined,
    doc: "The region. A text that is no region name is taken as the endpoint's host when S3_ENDPOINT is not set.",
  }),
  s3Endpoint: setting<string | undefined>({
    env: "S3_ENDPOINT",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Address of an S3-compatible service; https unless it begins with http://. Port and path are kept.",
  }),
  s3AccessKey: setting<string | undefined>({
    env: "S3_ACCESS_KEY",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Access key. Without key and secret: the AWS default credential chain.",
  }),
  s3Secret: setting<string | undefined>({
    env: "S3_SECRET",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Secret of the access key.",
  }),
  s3SessionToken: setting<string | undefined>({
    env: "S3_SESSION_TOKEN",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Session token that belongs to temporary keys.",
  }),
  s3ForcePathStyle: setting<boolean | undefined>({
    env: "S3_FORCE_PATH_STYLE",
    parse: (text) => (text === "" ? undefined : parsers.boolean(text)),
    default: undefined,
    doc: "Put the bucket into the path, not into the host name. Default: true with an endpoint of one's own, false with AWS.",
  }),
  s3CaBundle: setting<string | undefined>({
    env: "S3_CA_BUNDLE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "PEM file of certificate authorities to trust besides the usual ones.",
  }),
  s3StorageClass: setting<string | undefined>({
    env: "S3_STORAGE_CLASS",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Storage class of new objects, such as STANDARD_IA.",
  }),
  s3Sse: setting<string | undefined>({
    env: "S3_SSE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Server-side encryption of new objects: AES256, aws:kms or aws:kms:dsse.",
  }),
  s3SseKmsKeyId: setting<string | undefined>({
    env: "S3_SSE_KMS_KEY_ID",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Key for aws:kms.",
  }),
  s3Checksum: setting<"auto" | "crc32" | "none">({
    env: "S3_CHECKSUM",
    parse: (text) => (text === "" ? "auto" : parsers.oneOf("auto", "crc32", "none")(text)),
    default: "auto",
    doc: "Whole-object checksum kept by the server: crc32, none, or auto (crc32 with AWS, none with other services).",
  }),
  partBytes: setting<number>({
    env: "PART_SIZE",
    parse: partSize,
    default: 8 * 1024 ** 2,
    doc: "Size of the parts that large bundles are sent in; grows where 10,000 parts would not do.",
  }),
  partConcurrency: setting<number>({
    env: "PART_CONCURRENCY",
    parse: parsers.integer(1, 64),
    default: 4,
    doc: "Parts that are on their way at the same time, over all bundles.",
  }),
  storeTimeoutMs: setting({
    env: "STORE_TIMEOUT",
    parse: (text) => Math.max(100, parsers.durationFromSeconds(text)),
    default: 60_000,
    doc: "A request or a body on which nothing moves for so long is given up and tried again.",
  }),
  bandwidthLimit: setting<number | undefined>({
    env: "BANDWIDTH_LIMIT",
    parse: parsers.optionalBytes,
    default: undefined,
    doc: "Most bytes a second that leave this node; empty: no limit.",
  }),
});

/** The values of {@link storeSettings}. */
export type StoreSettings = SettingsOf<typeof storeSettings>;
