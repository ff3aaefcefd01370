import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { Clock } from "../clock.ts";

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
