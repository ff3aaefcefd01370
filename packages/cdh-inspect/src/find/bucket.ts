import type { CliContext } from "@cdh/core/cli";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import type { ObjectStore } from "@cdh/core/store/store";

/**
 * Open a bucket or container with the settings that cdh-upload reads: `S3_*` or `AZURE_*`, else the cloud's default chain.
 * @param url `s3://bucket` or `azblob://container`, without a prefix: keys are whole
 */
export async function openBucket(url: string, context: Pick<CliContext, "clock" | "env">): Promise<ObjectStore> {
  const { values } = resolveSettingsStrictly(storeSettings, { env: context.env, flags: { storeUrl: url } });
  return openStore(values, { clock: context.clock, env: context.env });
}
