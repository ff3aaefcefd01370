import { CdhError } from "../base/errors.ts";
import type { ResolvedSettings } from "../service/config.ts";
import type { storeSettings } from "./settings.ts";

/**
 * Refuse an environment that names two stores: nobody can know which of them is meant. A store on the command line is what
 * is meant; the same bucket twice is one store.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function refuseTwoStores({
  values: { storeUrl, s3BucketName },
  sources,
}: Pick<ResolvedSettings<typeof storeSettings>, "values" | "sources">): void {
  if (storeUrl === undefined || s3BucketName === undefined || sources.storeUrl === "flag") return;
  if (storeUrl === `s3://${s3BucketName}` || storeUrl.startsWith(`s3://${s3BucketName}/`)) return;
  throw new CdhError(
    "CDH_CONFIG_INVALID",
    `two stores are configured: STORE_URL ${JSON.stringify(storeUrl)} and S3_BUCKET_NAME ${JSON.stringify(s3BucketName)}`,
    { hint: "leave S3_BUCKET_NAME empty: STORE_URL=s3://bucket/prefix names the bucket too" },
  );
}
