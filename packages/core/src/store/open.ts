import { fileURLToPath } from "node:url";
import type { Clock } from "../base/clock.ts";
import { CdhError, reasonOf } from "../base/errors.ts";
import { silentLogger, type Logger } from "../service/log.ts";
import { createAgents } from "./agents.ts";
import { DirectoryStore } from "./directory/store.ts";
import { resolveS3Target } from "./s3/target.ts";
import { isBucketScheme, type BucketScheme } from "./schemes.ts";
import type { StoreSettings } from "./settings.ts";
import type { ObjectStore } from "./store.ts";
import { createThrottle, type Throttle } from "./throttle.ts";

/** What a store needs from the program that opens it. */
export interface OpenStoreOptions {
  clock: Clock;
  log?: Logger;
  /** For AWS_REGION and the like; pass the program's environment. */
  env: Readonly<Record<string, string | undefined>>;
  /** Most connections to the store at a time; default: enough for an uploader. */
  connections?: number;
  /** Holds several stores together to one rate; default: one by BANDWIDTH_LIMIT for this store alone. */
  throttle?: Throttle;
  /** Most calls that may be in a directory store at the same time; default: by the size of the pool of threads. */
  permits?: number;
  /** Key file, or configuration of workload identity federation, for gs://; default: as Google's tools find one. */
  googleKeyFile?: string;
}

/**
 * Open the store that STORE_URL, or S3_BUCKET_NAME, names. Nothing is contacted yet.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export async function openStore(settings: StoreSettings, options: OpenStoreOptions): Promise<ObjectStore> {
  const { clock, log = silentLogger, env } = options;
  const url = settings.storeUrl;
  const throttle = options.throttle ?? createThrottle(settings.bandwidthLimit, clock);
  if (url !== undefined && url.startsWith("file:")) {
    const { storeTimeoutMs: timeoutMs } = settings;
    return new DirectoryStore(directoryOf(url), {
      clock,
      throttle,
      timeoutMs,
      permits: options.permits ?? directoryPermits(env),
    });
  }
  const scheme = schemeOf(settings);
  const agents = createAgents({
    connections: Math.max(options.connections ?? 16, settings.partConcurrency + 8),
    caBundle: settings.s3CaBundle,
    env,
  });
  // Each cloud's library is large: only who uses it loads it.
  if (scheme === "azblob") {
    const [azure, { AzureStore }] = await Promise.all([import("./azure/target.ts"), import("./azure/store.ts")]);
    return new AzureStore(azure.resolveAzureTarget(settings), settings, { clock, log, agents, env, throttle });
  }
  if (scheme === "gs") {
    const [gcs, { GcsStore }] = await Promise.all([import("./gcs/target.ts"), import("./gcs/store.ts")]);
    const { googleKeyFile: keyFile } = options;
    return new GcsStore(gcs.resolveGcsTarget(settings, env), settings, { clock, log, agents, env, throttle, keyFile });
  }
  const target = resolveS3Target(settings, env);
  const [{ createS3Client }, { S3Store }] = await Promise.all([import("./s3/client.ts"), import("./s3/store.ts")]);
  const makeClient = (region: string) => createS3Client(target, settings, { clock, agents, region });
  return new S3Store(makeClient, target, settings, { clock, log, throttle });
}

/**
 * Check what names a store, as far as that can be without opening it.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export async function checkTarget(settings: StoreSettings, env: OpenStoreOptions["env"]): Promise<void> {
  const { storeUrl: url } = settings;
  if (url?.startsWith("file:") === true) return void directoryOf(url);
  const scheme = schemeOf(settings);
  if (scheme === "azblob") (await import("./azure/target.ts")).resolveAzureTarget(settings);
  else if (scheme === "gs") (await import("./gcs/target.ts")).resolveGcsTarget(settings, env);
  else resolveS3Target(settings, env);
}

/** @throws {CdhError} CDH_CONFIG_INVALID */
function schemeOf({ storeUrl: url, s3BucketName }: StoreSettings): BucketScheme {
  const scheme = url === undefined ? "s3" : url.slice(0, Math.max(0, url.indexOf(":")));
  if (!isBucketScheme(scheme)) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `STORE_URL ${JSON.stringify(url)}: none of s3://, gs://, azblob:// and file:///`,
      { hint: "set STORE_URL=s3://bucket/prefix, gs://bucket/prefix, azblob://container/prefix or file:///directory" },
    );
  }
  if (url === undefined && s3BucketName === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "no store is configured", {
      hint: "set STORE_URL=s3://bucket/prefix or STORE_URL=file:///directory, or S3_BUCKET_NAME",
    });
  }
  return scheme;
}

/** Threads of the pool that no store may have: they serve metrics, the spool and its state meanwhile. */
const THREADS_LEFT = 4;

/**
 * Say how many calls may be in a directory store at a time, by the size of libuv's pool.
 * @param taken threads of the pool that other stores may have
 */
export function directoryPermits(env: OpenStoreOptions["env"], taken = 0): number {
  const threads = Math.max(1, (Number(env["UV_THREADPOOL_SIZE"]) || 4) - taken);
  return Math.max(1, threads - Math.min(THREADS_LEFT, Math.ceil(threads / 2)));
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
