import { CdhError } from "../base/errors.ts";
import { defineSettings, parsers, setting, type SettingsOf } from "../service/config.ts";

const partSize = (text: string): number => {
  const bytes = parsers.bytes(text);
  if (bytes < 5 * 1024 ** 2 || bytes > 5 * 1024 ** 3)
    throw new CdhError("CDH_CONFIG_INVALID", "S3 takes parts from 5Mi to 5Gi");
  return bytes;
};

/** The service wants them as they are written here. */
const ACCESS_TIERS = { hot: "Hot", cool: "Cool", cold: "Cold", archive: "Archive" } as const;

const accessTier = (text: string): string | undefined =>
  text === "" ? undefined : ACCESS_TIERS[parsers.oneOf("hot", "cool", "cold", "archive")(text)];

/** @see https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs */
const blobTags = (text: string): Record<string, string> | undefined => {
  const pairs = text
    .split(",")
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "")
    .map((pair) => /^([\w +\-./:=]{1,128}?)=([\w +\-./:]{0,256})$/.exec(pair));
  if (pairs.includes(null) || pairs.length > 10)
    throw new CdhError("CDH_CONFIG_INVALID", "at most 10 of name=value, of letters, digits, spaces and + - . / : _");
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? "", pair?.[2] ?? ""]));
};

/** The settings that name a store and say how to talk to it; every program that opens one spreads them into its table. */
export const storeSettings = defineSettings({
  storeUrl: setting<string | undefined>({
    env: "STORE_URL",
    flag: "--store",
    word: "URL",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Where bundles go: s3://bucket/prefix, gs://bucket/prefix, azblob://container/prefix or file:///directory. Without it: S3_BUCKET_NAME.",
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
  s3KeysDir: setting<string | undefined>({
    env: "S3_KEYS_DIR",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Directory with files s3AccessKey, s3Secret and perhaps s3SessionToken: a mounted Secret. They win over S3_ACCESS_KEY and the like, and are read again every 30 s.",
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
  azureAccount: setting<string | undefined>({
    env: "AZURE_STORAGE_ACCOUNT",
    parse: parsers.optionalText,
    default: undefined,
    doc: "The storage account of STORE_URL=azblob://container/prefix.",
  }),
  azureEndpoint: setting<string | undefined>({
    env: "AZURE_STORAGE_ENDPOINT",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Address of the blob service, for sovereign clouds, private links and emulators. Default: https://ACCOUNT.blob.core.windows.net.",
  }),
  azureKey: setting<string | undefined>({
    env: "AZURE_STORAGE_KEY",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Key of the account. Without key, signature and connection string: a token of workload identity, client secret, managed identity or `az login`.",
  }),
  azureSasToken: setting<string | undefined>({
    env: "AZURE_STORAGE_SAS_TOKEN",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Shared access signature, in place of the key.",
  }),
  azureConnectionString: setting<string | undefined>({
    env: "AZURE_STORAGE_CONNECTION_STRING",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Account, endpoint and key or signature in one text, as the portal shows it.",
  }),
  azureAccessTier: setting<string | undefined>({
    env: "AZURE_ACCESS_TIER",
    parse: accessTier,
    default: undefined,
    doc: "Access tier of new blobs: Hot, Cool, Cold or Archive (which cannot be read before it is rehydrated).",
  }),
  azureEncryptionScope: setting<string | undefined>({
    env: "AZURE_ENCRYPTION_SCOPE",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Encryption scope of new blobs.",
  }),
  azureCustomerProvidedKey: setting<string | undefined>({
    env: "AZURE_CUSTOMER_PROVIDED_KEY",
    parse: parsers.optionalText,
    default: undefined,
    secret: true,
    doc: "Base64 of the 32 bytes of a key that the service encrypts with and does not keep; readers need it too.",
  }),
  azureBlobTags: setting<Record<string, string> | undefined>({
    env: "AZURE_BLOB_TAGS",
    parse: blobTags,
    default: undefined,
    doc: "Index tags of new blobs: name=value, name=value; at most 10.",
  }),
  gcsEndpoint: setting<string | undefined>({
    env: "GCS_ENDPOINT",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Address of Google Cloud Storage for STORE_URL=gs://bucket/prefix; default https://storage.googleapis.com. Credentials as Google's tools find them: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, workload identity of GKE, the node's service account.",
  }),
  gcsKmsKey: setting<string | undefined>({
    env: "GCS_KMS_KEY",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Cloud KMS key of new objects: projects/P/locations/L/keyRings/R/cryptoKeys/K.",
  }),
  gcsStorageClass: setting<string | undefined>({
    env: "GCS_STORAGE_CLASS",
    parse: parsers.optionalText,
    default: undefined,
    doc: "Storage class of new objects, such as NEARLINE.",
  }),
  gcsAcls: setting<"refuse" | "allow">({
    env: "GCS_ACLS",
    parse: (text) => (text === "" ? "refuse" : parsers.oneOf("refuse", "allow")(text)),
    default: "refuse",
    doc: "A bucket whose uniform access is off, where ACLs of objects may let others read cores: refuse puts nothing there, and bundles wait; allow warns. Looking needs storage.buckets.get; without it nothing is refused.",
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
    doc: "A request or a body, or a file of a directory store, on which nothing moves for so long is given up and tried again.",
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
