import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";

/** Keys without an end, from a profile's file for one, are looked up again when they were used for so long. */
const FIXED_MS = 30_000;

type DefaultProvider = NonNullable<S3ClientConfig["credentialDefaultProvider"]>;
type Credentials = Awaited<ReturnType<ReturnType<DefaultProvider>>>;

/**
 * Find credentials as AWS's default chain does, and again while the program runs. The chain renews what says when it
 * expires; keys that say nothing it would keep for ever, although whoever keeps the file replaces them.
 */
export function renewingCredentials(clock: Pick<Clock, "monotonic">): DefaultProvider {
  const client = new S3Client({ region: "us-east-1" });
  const { credentialDefaultProvider: chainOf } = client.config;
  client.destroy();
  return (input: object) => {
    const chain = chainOf({ ...input, ignoreCache: true }) as (options?: object) => Promise<Credentials>;
    let current: Credentials | undefined;
    let foundAt = 0;
    return async (options?: object) => {
      const isFixed = current !== undefined && current.expiration === undefined;
      const now = clock.monotonic();
      if (current !== undefined && isFixed && now - foundAt < FIXED_MS) return current;
      foundAt = now;
      try {
        current = await chain(isFixed ? { ...options, forceRefresh: true } : options);
      } catch (error) {
        // The file may be half written at this moment: what was there before serves until the next look.
        if (current === undefined || !isFixed) throw error;
      }
      return current;
    };
  };
}

/** Names of the files, which are those of the keys in the Secret of IBM's chart and ours. */
const KEY_FILES = ["s3AccessKey", "s3Secret", "s3SessionToken"] as const;

/** Keys as the settings give them, or as the chain finds them. */
interface OtherCredentials {
  clock: Pick<Clock, "monotonic">;
  /** Finds some where neither files nor settings have any. */
  otherwise: DefaultProvider | undefined;
  fixed: Credentials | undefined;
}

/**
 * Take keys from the files of a directory, a mounted Secret, and look again while the program runs: whoever rotates keys
 * restarts nothing. Where the files are not there, or only some of them at this moment, what was known before serves.
 */
export function keysInDirectory(directory: string, { clock, otherwise, fixed }: OtherCredentials): DefaultProvider {
  return (input: object) => {
    const chain = otherwise?.(input) as ((options?: object) => Promise<Credentials>) | undefined;
    let current: Credentials | undefined;
    let foundAt = Number.NEGATIVE_INFINITY;
    return async (options?: object) => {
      const now = clock.monotonic();
      if (now - foundAt >= FIXED_MS) {
        foundAt = now;
        current = (await readKeys(directory)) ?? current;
      }
      const keys = current ?? fixed ?? (await chain?.(options));
      if (keys === undefined) throw new CdhError("CDH_CONFIG_INVALID", `there are no keys in ${directory}`);
      return keys;
    };
  };
}

async function readKeys(directory: string): Promise<Credentials | undefined> {
  const read = async (name: string): Promise<string> =>
    (await readFile(join(directory, name), "utf8").catch(() => "")).trim();
  const [accessKeyId = "", secretAccessKey = "", sessionToken = ""] = await Promise.all(KEY_FILES.map(read));
  if (accessKeyId === "" || secretAccessKey === "") return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === "" ? {} : { sessionToken }) };
}
