import { expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeWorkbench } from "./workbench.ts";

/**
 * What names a store that cannot be. Answers of real services (a container of another tenant, an account or a bucket that
 * is not there, missing rights) are tried in azure-faults, gcs-faults and s3-access; rules of tenants in rules.
 */
const CASES: [what: string, env: Record<string, string>, status: number, said: string, hint: string][] = [
  [
    "an unknown scheme",
    { STORE_URL: "ftp://cores" },
    10,
    "none of s3://, gs://, azblob:// and file:///",
    "STORE_URL=s3://",
  ],
  ["no scheme", { STORE_URL: "cores" }, 10, "none of s3://, gs://, azblob:// and file:///", "STORE_URL=s3://"],
  [
    "two buckets",
    { STORE_URL: "s3://a/x", S3_BUCKET_NAME: "b" },
    10,
    "two stores are configured",
    "leave S3_BUCKET_NAME empty",
  ],
  [
    "a bucket and a container",
    { STORE_URL: "azblob://a", S3_BUCKET_NAME: "b" },
    10,
    "two stores are configured",
    "leave S3",
  ],
  [
    "a bucket and a directory",
    { STORE_URL: "file:///a", S3_BUCKET_NAME: "b" },
    10,
    "two stores are configured",
    "leave S3",
  ],
  ["no account", { STORE_URL: "azblob://cores" }, 10, "no storage account is configured", "AZURE_STORAGE_ACCOUNT"],
  [
    "an account that does not exist",
    {
      STORE_URL: "azblob://cores",
      AZURE_STORAGE_ENDPOINT: "http://nosuchaccount.invalid",
      AZURE_STORAGE_ACCOUNT: "nosuchaccount",
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
      STORE_TIMEOUT: "2s",
    },
    15,
    "CDH_STORE_UNREACHABLE",
    "does the storage account exist?",
  ],
  [
    "names that Azure keeps under others",
    {
      STORE_URL: "azblob://cores",
      AZURE_STORAGE_ACCOUNT: "account",
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
      S3_KEY_TEMPLATE: "{namespace}./{name}.zip",
    },
    10,
    "Azure keeps no dot at the end of a part",
    "S3_KEY_TEMPLATE",
  ],
  [
    "a prefix that Azure keeps under another name",
    {
      STORE_URL: "azblob://cores/a.",
      AZURE_STORAGE_ACCOUNT: "account",
      AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64"),
    },
    10,
    "Azure keeps no dot at the end of a part",
    "STORE_URL",
  ],
];

describeUnless(notBuilt("cdh-upload"), "a store that cannot be", () => {
  it.each(CASES)("%s: said with a hint, and the bundle stays", async (_, env, status, said, hint) => {
    await using work = await makeWorkbench(env);
    const bundle = await work.publish();
    const sweep = await work.sweep([], { LOG_FORMAT: "text" });
    const check = await runBuilt("cdh-upload", ["check"], { env: { ...work.env, LOG_FORMAT: "text" } });
    for (const { exitCode, stdout, stderr } of [sweep, check]) {
      expect(exitCode, stdout + stderr).toBe(status);
      expect(stdout + stderr).toContain(said);
      expect(stdout + stderr).toContain(hint);
      expect(stderr).not.toMatch(/^ {4}at /m);
    }
    expect(await work.spool()).toEqual([bundle.fileName]);
  });

  it("the same bucket twice is one store, and a store on the command line is the one that is meant", async () => {
    await using work = await makeWorkbench({
      STORE_URL: "s3://cores/x",
      S3_BUCKET_NAME: "cores",
      S3_ENDPOINT: "http://127.0.0.1:9",
    });
    const env = { ...work.env, S3_ACCESS_KEY: "a", S3_SECRET: "b", STORE_TIMEOUT: "1s" };
    expect((await runBuilt("cdh-upload", ["check"], { env })).exitCode).toBe(15);
    const given = ["check", "--store", `file://${work.directory}/store`];
    expect((await runBuilt("cdh-upload", given, { env: { ...env, S3_BUCKET_NAME: "b" } })).exitCode).toBe(0);
  });
});
