import { describe } from "vitest";
import { afterAll } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { describeStoreContract } from "@cdh/core/testing/store-contract";
import { chooseS3, startS3Server, type S3Kind, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";

const servers: S3Server[] = [];

afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

/** Open a store with a prefix on a fresh server, as a program would from its environment. */
async function openOn(kind: S3Kind, env: Record<string, string>) {
  const server = await startS3Server({ kind });
  servers.push(server);
  const settings = resolveSettingsStrictly(storeSettings, {
    env: { ...server.env, STORE_URL: `s3://${server.bucket}/clusters/one`, ...env },
  });
  return await openStore(settings.values, { clock: systemClock, env: {} });
}

/** A server that somebody started elsewhere, such as Ceph, SeaweedFS or AWS: for trying by hand. Its bucket must be empty. */
const { CDH_TEST_S3_ENDPOINT: elsewhere, CDH_TEST_S3_BUCKET, CDH_TEST_S3_ACCESS_KEY, CDH_TEST_S3_SECRET } = process.env;

/** The environment of a program that uses that server. */
function envElsewhere(): Record<string, string> {
  return {
    STORE_URL: `s3://${CDH_TEST_S3_BUCKET ?? "cores"}/contract-${Date.now()}`,
    S3_ENDPOINT: elsewhere ?? "",
    S3_REGION: "us-east-1",
    S3_ACCESS_KEY: CDH_TEST_S3_ACCESS_KEY ?? "",
    S3_SECRET: CDH_TEST_S3_SECRET ?? "",
  };
}

describe("S3Store", () => {
  for (const kind of ["minio", "versitygw"] as const) {
    const { standIn } = chooseS3(kind);
    describeUnless(standIn, `on ${kind}`, () => {
      describeStoreContract(`S3Store on ${kind}`, () => openOn(kind, {}));
    });
  }
  const unset = elsewhere === undefined ? "CDH_TEST_S3_ENDPOINT names no further S3 server" : undefined;
  describeUnless(unset, "on the server of CDH_TEST_S3_ENDPOINT", () => {
    describeStoreContract("S3Store elsewhere", async () => {
      const settings = resolveSettingsStrictly(storeSettings, { env: envElsewhere() });
      return await openStore(settings.values, { clock: systemClock, env: {} });
    });
  });
  describeUnless(chooseS3("minio").standIn, "on minio with checksums", () => {
    describeStoreContract("S3Store with S3_CHECKSUM=crc32 on minio", () => openOn("minio", { S3_CHECKSUM: "crc32" }));
  });
});
