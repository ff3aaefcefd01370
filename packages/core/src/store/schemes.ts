/** The schemes of URLs that name a bucket or container: `s3://bucket/prefix`. */
export const BUCKET_SCHEMES = ["s3", "gs", "azblob"] as const;

/** One of {@link BUCKET_SCHEMES}. */
export type BucketScheme = (typeof BUCKET_SCHEMES)[number];

/** Tell whether a URL with this scheme names a bucket or container. */
export function isBucketScheme(scheme: string): scheme is BucketScheme {
  return (BUCKET_SCHEMES as readonly string[]).includes(scheme);
}
