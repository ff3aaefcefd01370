import { describe, expect, it } from "vitest";
import { resolveSettingsStrictly } from "../../service/config.ts";
import { storeSettings } from "../settings.ts";
import { resolveS3Target } from "./target.ts";

function target(env: Record<string, string>) {
  return resolveS3Target(resolveSettingsStrictly(storeSettings, { env }).values, env);
}

describe("resolveS3Target", () => {
  it.each([
    [
      { STORE_URL: "s3://cores" },
      { bucket: "cores", prefix: "", region: "us-east-1", endpoint: undefined, forcePathStyle: false },
    ],
    [{ STORE_URL: "s3://cores/a/b/" }, { bucket: "cores", prefix: "a/b" }],
    [{ STORE_URL: "s3://cores//a//b" }, { bucket: "cores", prefix: "a/b" }],
    [{ S3_BUCKET_NAME: "cores", AWS_REGION: "eu-west-1" }, { region: "eu-west-1" }],
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "us-gov-west-1", AWS_REGION: "eu-west-1" },
      { region: "us-gov-west-1", endpoint: undefined },
    ],
    [{ S3_BUCKET_NAME: "with.dots" }, { forcePathStyle: true }],
    // IBM's: the host of the service where a region should stand.
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "s3.us-south.cloud-object-storage.appdomain.cloud" },
      {
        endpoint: "https://s3.us-south.cloud-object-storage.appdomain.cloud",
        region: "s3.us-south.cloud-object-storage.appdomain.cloud",
        forcePathStyle: true,
      },
    ],
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "http://minio:9000" },
      { endpoint: "http://minio:9000", region: "us-east-1" },
    ],
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "minio:9000" },
      { endpoint: "https://minio:9000", region: "us-east-1" },
    ],
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "nyc3" },
      { endpoint: "https://nyc3.digitaloceanspaces.com", region: "nyc3" },
    ],
    [{ S3_BUCKET_NAME: "cores", S3_REGION: "wa-eu-central-1" }, { endpoint: "https://s3.eu-central-1.wasabisys.com" }],
    // An endpoint of one's own wins, and the region stays what it is.
    [
      { S3_BUCKET_NAME: "cores", S3_REGION: "anything", S3_ENDPOINT: "minio.svc:9000/base/" },
      { endpoint: "https://minio.svc:9000/base", region: "anything" },
    ],
    [
      { S3_BUCKET_NAME: "cores", S3_ENDPOINT: "http://minio:9000", S3_FORCE_PATH_STYLE: "false" },
      { forcePathStyle: false },
    ],
  ])("reads %j", (env, wanted) => {
    expect(target(env as Record<string, string>)).toMatchObject(wanted);
  });

  it.each([
    [{ STORE_URL: "s3://" }, "not s3://bucket/prefix"],
    [{ S3_BUCKET_NAME: "a b" }, "no bucket's name"],
    [{ S3_BUCKET_NAME: "cores", S3_ENDPOINT: "http://" }, "not an address"],
    [{ S3_BUCKET_NAME: "cores", S3_ENDPOINT: "http://user:secret@minio" }, "holds a name and a password"],
  ])("refuses %j", (env, why) => {
    expect(() => target(env as Record<string, string>)).toThrow(why);
  });
});
