import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { expectSoon, expectStored, makeWorkbench, type Workbench } from "./workbench.ts";

/** Files are looked at every 30 s, and a store that denies is tried again after a while. */
const ROTATION_MS = 90_000;

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "keys in a mounted Secret", () => {
  let s3: S3Server;
  let work: Workbench | undefined;

  beforeAll(async () => {
    s3 = await startS3Server({ kind: "minio" });
  });
  afterEach(async () => await work?.[Symbol.asyncDispose]());
  afterAll(async () => await s3[Symbol.asyncDispose]());

  /** Put keys into a directory as the kubelet does: into a new one, to which a link is moved at once. */
  function mountKeys(directory: string, version: string, keys: Record<string, string>): void {
    const data = join(directory, `..${version}`);
    mkdirSync(data, { recursive: true });
    for (const [name, value] of Object.entries(keys)) writeFileSync(join(data, name), value);
    rmSync(join(directory, "..data_tmp"), { force: true });
    symlinkSync(`..${version}`, join(directory, "..data_tmp"));
    renameSync(join(directory, "..data_tmp"), join(directory, "..data"));
    for (const name of Object.keys(keys)) {
      rmSync(join(directory, name), { force: true });
      symlinkSync(`..data/${name}`, join(directory, name));
    }
  }

  it("win over the environment, and are taken up without a restart when they are rotated", async () => {
    work = await makeWorkbench(s3.env);
    const keys = join(work.directory, "keys");
    mkdirSync(keys);
    mountKeys(keys, "1", { s3AccessKey: s3.accessKey, s3Secret: s3.secretKey });
    const env = { S3_KEYS_DIR: keys, S3_ACCESS_KEY: "old", S3_SECRET: "old-secret" };
    const child = work.run(env);
    const first = await work.publish();
    const isEmpty = async (): Promise<boolean> => (await work?.spool())?.length === 0;
    await expectSoon("the first is stored", isEmpty, { child });

    mountKeys(keys, "2", { s3AccessKey: "revoked", s3Secret: "revoked-secret" });
    const log = (): string => child.output();
    const others: Awaited<ReturnType<Workbench["publish"]>>[] = [];
    await expectSoon(
      "the revoked keys are in use",
      async () => {
        if (await isEmpty()) others.push(await (work as Workbench).publish());
        return log().includes("CDH_STORE_DENIED");
      },
      { child, timeoutMs: ROTATION_MS },
    );
    mountKeys(keys, "3", { s3AccessKey: s3.accessKey, s3Secret: s3.secretKey });
    await expectSoon("all are stored", isEmpty, { child, timeoutMs: ROTATION_MS });
    for (const bundle of [first, ...others]) await expectStored(s3, s3.bucket, bundle);
  }, 240_000);

  it("leave those of the environment where there are none", async () => {
    work = await makeWorkbench(s3.env);
    const bundle = await work.publish();
    const result = await work.sweep([], { S3_KEYS_DIR: join(work.directory, "nothing") });
    expect(result.exitCode, result.stderr).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });
});
