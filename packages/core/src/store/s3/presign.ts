import { GetObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { PresignOptions } from "../store.ts";
import type { S3Bucket } from "./bucket.ts";
import { toStoreError } from "./errors.ts";

/**
 * Make a URL that reads one object for a while. Nothing is sent: it is signed here, with the program's own credentials.
 * @throws {CdhError} CDH_STORE_DENIED when there are no credentials
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
 */
export async function presignGet(bucket: S3Bucket, key: string, options: PresignOptions): Promise<string> {
  const command = new GetObjectCommand({
    ...bucket.object(key),
    ResponseContentDisposition: `attachment; filename="${options.fileName.replaceAll(/[^\w.-]/g, "_")}"`,
    ResponseContentType: "application/zip",
  });
  try {
    return await getSignedUrl(bucket.requests.client, command, { expiresIn: options.lifetimeSeconds });
  } catch (error) {
    throw toStoreError(error, `sign a link to ${key}`, bucket.url);
  }
}
