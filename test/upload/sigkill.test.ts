import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { listKeys, s3Request } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { expectNoUploads, makeWorkbench, sha256OfObject, expectSoon } from "./workbench.ts";

const KILLS = 100;
const BUNDLES = 30;

async function countUploads(s3: S3Server, fileName: string): Promise<number> {
  const answer = await s3Request(s3, "GET", `/${s3.bucket}`, { query: { uploads: "", prefix: `team-0/${fileName}` } });
  return (await answer.text()).split("<UploadId>").length - 1;
}

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "cdh-upload killed at any moment", () => {
  let s3: S3Server;

  beforeAll(async () => {
    s3 = await startS3Server({ kind: "minio" });
  });
  afterAll(async () => {
    await s3[Symbol.asyncDispose]();
  });

  it(`loses nothing and doubles nothing when it is killed ${KILLS} times with ${BUNDLES} bundles in the queue`, async () => {
    // So slow that the three large ones, which come first as the newest, are always cut in the middle.
    await using work = await makeWorkbench({ ...s3.env, PART_SIZE: "5Mi", BANDWIDTH_LIMIT: "6M" });
    const bundles = [];
    for (let index = 0; index < BUNDLES; index += 1) {
      const coreBytes = index >= BUNDLES - 3 ? 12 * 1024 ** 2 + index : 700_000 + index * 10_000;
      bundles.push(await work.publish({ namespace: `team-${index % 3}`, coreBytes }));
    }
    const large = bundles[BUNDLES - 3]?.fileName ?? "";
    let lostBefore = 0;
    let killedAtWork = 0;
    let leftUploads = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const child = work.run();
      // Most while it works, whatever the machine's load; some while it starts.
      if (kill % 5 > 0) await expectSoon("it runs", () => child.output().includes('"started"'), { child });
      // Some in the middle of a large one, however long a busy machine takes to come there.
      if (kill % 5 === 2 && (await work.spool()).includes(large))
        await expectSoon(
          "its parts are on their way",
          async () => (await countUploads(s3, large)) > 0 || !(await work.spool()).includes(large),
          { child },
        );
      await delay(Math.random() * 500);
      const waiting = await work.spool();
      if (waiting.length > 0) killedAtWork += 1;
      await child.stop("KILL");
      leftUploads += await countUploads(s3, large);
      // At every moment each bundle is here, or whole in the store, or both.
      const here = new Set(await work.spool());
      const there = await listKeys(s3, s3.bucket);
      for (const bundle of bundles) {
        const folder = `team-${bundles.indexOf(bundle) % 3}`;
        const whole =
          there.get(`${folder}/${bundle.fileName}`) === bundle.sizeBytes &&
          there.has(`${folder}/${bundle.name}.manifest.json`);
        if (!here.has(bundle.fileName) && !whole) lostBefore += 1;
      }
    }
    expect(lostBefore).toBe(0);
    // Were none ever left, the last check would show nothing.
    expect(leftUploads).toBeGreaterThan(0);
    expect(killedAtWork).toBeGreaterThan(KILLS / 4);
    const last = work.run({ BANDWIDTH_LIMIT: "" });
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, {
      child: last,
      timeoutMs: 60_000,
    });
    await last.stop();
    const keys = await listKeys(s3, s3.bucket);
    expect(keys.size).toBe(2 * BUNDLES);
    for (const [index, bundle] of bundles.entries()) {
      const key = `team-${index % 3}/${bundle.fileName}`;
      expect(await sha256OfObject(s3, s3.bucket, key), key).toBe(bundle.sha256);
      await expectNoUploads(s3, s3.bucket, key);
    }
  }, 300_000);
});
