import { fileURLToPath } from "node:url";
import type { Clock } from "../clock.ts";
import { CdhError, reasonOf } from "../errors.ts";
import { silentLogger, type Logger } from "../log.ts";
import { DirectoryStore } from "./directory-store.ts";
import { resolveS3Target } from "./s3-target.ts";
import type { StoreSettings } from "./settings.ts";
import type { ObjectStore } from "./store.ts";

/** What a store needs from the program that opens it. */
export interface OpenStoreOptions {
  clock: Clock;
  log?: Logger;
  /** For AWS_REGION and the like; pass the program's environment. */
  env: Readonly<Record<string, string | undefined>>;
  /** Most connections to the store at a time; default: enough for an uploader. */
  connections?: number;
}

/**
 * Open the store that STORE_URL, or S3_BUCKET_NAME, names. Nothing is contacted yet.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export async function openStore(settings: StoreSettings, options: OpenStoreOptions): Promise<ObjectStore> {
  const { clock, log = silentLogger, env } = options;
  const url = settings.storeUrl;
  if (url !== undefined && url.startsWith("file:")) {
    return new DirectoryStore(directoryOf(url), { clock, bandwidthLimit: settings.bandwidthLimit });
  }
  if (url !== undefined && !url.startsWith("s3:")) {
    throw new CdhError("CDH_CONFIG_INVALID", `STORE_URL ${JSON.stringify(url)}: neither s3:// nor file:///`);
  }
  if (url === undefined && settings.s3BucketName === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "no store is configured", {
      hint: "set STORE_URL=s3://bucket/prefix or STORE_URL=file:///directory, or S3_BUCKET_NAME",
    });
  }
  const target = resolveS3Target(settings, env);
  // The SDK is large: only who talks to S3 loads it.
  const [{ createS3Client }, { S3Store }] = await Promise.all([import("./s3-client.ts"), import("./s3-store.ts")]);
  return new S3Store(createS3Client(target, settings, options), target, settings, { clock, log });
}

function directoryOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `STORE_URL ${JSON.stringify(url)}: not file:///directory (${reasonOf(error)})`,
    );
  }
}
