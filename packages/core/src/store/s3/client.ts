import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import type { Agents } from "../agents.ts";
import type { StoreSettings } from "../settings.ts";
import { boundAnswers } from "./answers.ts";
import { keysInDirectory, renewingCredentials } from "./credentials.ts";
import type { S3Target } from "./target.ts";

/** What IBM's chart puts into its Secret when nobody filled it in. */
const PLACEHOLDER = "XXX";

function ignore(): void {}

/**
 * Whatever the SDK has to say reaches the reader as an error of ours. It has no `info`: the SDK asks for that one only
 * if it is there, and writes a copy of each request and answer for it otherwise.
 */
const SILENT = { debug: ignore, warn: ignore, error: ignore } as NonNullable<S3ClientConfig["logger"]>;

/**
 * Make the SDK's client. It tries nothing twice on its own: the store does, where it can send a part again from the
 * file. Checksums of the newer kind are sent only where asked for, because many compatible servers refuse them.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function createS3Client(
  target: S3Target,
  settings: StoreSettings,
  { clock, agents, region }: { clock: Clock; agents: Agents; region: string },
): S3Client {
  const credentials = staticCredentials(settings);
  const found = credentials === undefined ? renewingCredentials(clock) : undefined;
  const { s3KeysDir } = settings;
  // What is given as `credentials` the SDK keeps for ever.
  const credentialDefaultProvider =
    s3KeysDir === undefined ? found : keysInDirectory(s3KeysDir, { clock, otherwise: found, fixed: credentials });
  const client = new S3Client({
    region,
    forcePathStyle: target.forcePathStyle,
    ...(target.endpoint === undefined ? {} : { endpoint: target.endpoint }),
    ...(credentialDefaultProvider === undefined ? {} : { credentialDefaultProvider }),
    ...(credentials === undefined || s3KeysDir !== undefined ? {} : { credentials }),
    maxAttempts: 1,
    logger: SILENT,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // With it the SDK gives up connection reuse, and servers that do not know it cost seconds a part.
    expectContinueHeader: false,
    // The SDK would send the body that it has read already: S3Requests makes the request anew instead.
    followRegionRedirects: false,
    requestHandler: {
      connectionTimeout: Math.min(10_000, settings.storeTimeoutMs),
      // Bodies and whole requests have deadlines of their own; this catches a socket that nobody else watches.
      socketTimeout: 10 * settings.storeTimeoutMs,
      httpAgent: agents.http,
      httpsAgent: agents.https,
    },
  });
  boundAnswers(client);
  return client;
}

function staticCredentials(
  settings: StoreSettings,
): { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined {
  const { s3AccessKey: accessKeyId, s3Secret: secretAccessKey, s3SessionToken: sessionToken } = settings;
  const given = [accessKeyId, secretAccessKey].filter((text) => text !== undefined && text !== PLACEHOLDER);
  if (given.length === 0) return undefined;
  if (accessKeyId === undefined || secretAccessKey === undefined || given.length === 1) {
    throw new CdhError("CDH_CONFIG_INVALID", "only one of S3_ACCESS_KEY and S3_SECRET is set", {
      hint: "set both, or neither for the AWS default credential chain",
    });
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
