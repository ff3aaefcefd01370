import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";

const core = Buffer.concat([makeTinyCore(), Buffer.from(new SeededRandom(2).bytes(12_000_000))]);
const { dumpInfo, core: entry, log, manifest } = makeSampleEntries(core);
const zip = makeRawZip([dumpInfo, entry, log, manifest]);
const key = `prod/payments/${SAMPLE_NAME}`;

describeUnless(notBuilt("cdh-inspect") ?? findTool("minio").reason, "cdh-inspect on MinIO", () => {
  let s3: S3Server;
  let place: string;

  const inspect = (...args: string[]): Promise<BuiltResult> =>
    runBuilt("cdh-inspect", args, { env: { PATH: process.env["PATH"] ?? "", HOME: place, ...s3.env } });
  const put = async (name: string, body: Uint8Array): Promise<void> => {
    const response = await s3Request(s3, "PUT", `/${s3.bucket}/${name}`, { body });
    expect(response.status).toBe(200);
  };

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-inspect-s3-"));
    s3 = await startS3Server({ kind: "minio", bucket: "cores" });
    await put(`${key}.zip`, zip);
    await put(`${key}.manifest.json`, manifest.data ?? Buffer.alloc(0));
    // The bundle of this one cannot be read: a listing must not look at it.
    const other = JSON.stringify({ ...JSON.parse(String(manifest.data)), pod: { name: "cart", namespace: "shop" } });
    await put("prod/shop/other.zip", Buffer.from("not a zip"));
    await put("prod/shop/other.manifest.json", Buffer.from(other));
  });

  afterAll(async () => {
    await s3[Symbol.asyncDispose]();
    await rm(place, { recursive: true, force: true });
  });

  it("lists from the small manifests alone", async () => {
    const result = await inspect("ls", "-o", "json", "s3://cores/prod");
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const { bundles } = JSON.parse(result.stdout) as { bundles: { bundle: string; pod: string }[] };
    expect(bundles.map(({ bundle, pod }) => [bundle, pod]).toSorted()).toEqual([
      [`s3://cores/${key}.zip`, "worker"],
      ["s3://cores/prod/shop/other.zip", "cart"],
    ]);
  });

  it("groups from the small manifests alone, and finds a group's crash", async () => {
    const result = await inspect("groups", "-o", "json", "s3://cores/prod");
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const { groups } = JSON.parse(result.stdout) as { groups: { id: string; count: number; key: string }[] };
    // One in each namespace: what others crash by is no bug of this one's.
    expect(groups).toMatchObject([
      { count: 1, key: "none" },
      { count: 1, key: "none" },
    ]);
    const listed = await Promise.all(groups.map(({ id }) => inspect("ls", "-q", "--group", id, "s3://cores/prod")));
    expect(listed.map(({ stdout }) => stdout.trimEnd()).toSorted()).toEqual([
      `s3://cores/${key}.zip`,
      "s3://cores/prod/shop/other.zip",
    ]);
  });

  it("shows a bundle with few requests, named whole, by a part, or as the newest", async () => {
    for (const place_ of [`s3://cores/${key}.zip`, "s3://cores/prod/payments/11112222", "s3://cores/prod/payments"]) {
      const result = await inspect("show", "-o", "json", place_);
      expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      const report = JSON.parse(result.stdout) as { bundle: string; traffic: { requests: number; bytes: number } };
      expect(report.bundle).toBe(`s3://cores/${key}.zip`);
      expect(report.traffic.requests).toBeLessThanOrEqual(6);
      expect(report.traffic.bytes).toBeLessThan(4 * 1024 * 1024);
    }
  });

  it("reads a part of the core without the rest", async () => {
    const part = await inspect("cat", `s3://cores/${key}.zip`, "core", "--range", "5000000+8", "--hex");
    const hex = [...core.subarray(5_000_000, 5_000_008)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    expect(part.stdout).toContain(`0000004c4b40  ${hex}`);
  });

  it("unpacks and verifies", async () => {
    const result = await inspect("unpack", `s3://cores/${key}.zip`, place, "--entry", "core");
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const unpacked = await readFile(join(place, `${SAMPLE_NAME}.core`));
    expect(createHash("sha256").update(unpacked).digest("hex")).toBe(createHash("sha256").update(core).digest("hex"));
    expect((await inspect("verify", `s3://cores/${key}.zip`)).exitCode).toBe(0);
    expect((await inspect("verify", "s3://cores/prod/shop/other.zip")).exitCode).toBe(16);
  });

  it("goes on with what an interrupted unpack left, and reads only the rest", async () => {
    const target = join(place, "resumed");
    const path = join(target, `${SAMPLE_NAME}.core`);
    const doneBytes = 8 * 1024 * 1024;
    const sha256 = createHash("sha256").update(core).digest("hex");
    await mkdir(target);
    await writeFile(`${path}.partial`, core.subarray(0, doneBytes));
    await writeFile(`${path}.partial.json`, JSON.stringify({ sha256, sizeBytes: core.length, doneBytes }));
    const unpack = ["unpack", "-o", "json", `s3://cores/${key}.zip`, target, "--entry", "core"];
    const { files } = JSON.parse((await inspect(...unpack)).stdout) as { files: Record<string, unknown>[] };
    expect(files[0]).toMatchObject({ resumedAtBytes: doneBytes, sha256 });
    expect(files[0]?.["writtenBytes"]).toBeLessThanOrEqual(core.length - doneBytes);
    expect((await readFile(path)).equals(core)).toBe(true);
  });

  it("says what is not there and who may not", async () => {
    expect(await inspect("show", "s3://cores/prod/nothing")).toMatchObject({ exitCode: 12 });
    expect(await inspect("ls", "s3://no-such-bucket")).toMatchObject({ exitCode: 15 });
    const env = { PATH: process.env["PATH"] ?? "", ...s3.env, S3_SECRET: "wrong" };
    const denied = await runBuilt("cdh-inspect", ["ls", "s3://cores"], { env });
    expect(denied.exitCode).toBe(15);
    expect(denied.stderr).toContain("(CDH_STORE_DENIED)");
  });
});
