import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { builtPath, notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { sha256OfFile } from "../helpers/bundle-files.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { listKeys, s3Request } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Kind, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";
import { findTool } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const unavailable = kernelSuiteUnavailable() ?? notBuilt("cdh-upload", "cdh-inspect");

function findCore(directory: string): string {
  const found = readdirSync(directory, { recursive: true, encoding: "utf8" }).find((name) => name.endsWith(".core"));
  if (found === undefined) throw new Error(`no core in ${directory}: ${JSON.stringify(readdirSync(directory))}`);
  return join(directory, found);
}

for (const kind of ["minio", "versitygw"] as const satisfies S3Kind[]) {
  const { standIn } = chooseS3(kind);
  // Without Go the stand-in is tried once, in place of MinIO; the other server is skipped with the reason.
  const skip = kind === "versitygw" ? (unavailable ?? findTool("versitygw").reason) : unavailable;
  const title = standIn === undefined ? kind : `${kind} (${standIn})`;

  describeUnless(skip, `from a crash to a report, through ${title}`, () => {
    const suite = setUpKernel();
    let s3: S3Server;
    beforeAll(async () => {
      s3 = await startS3Server({ kind });
    });
    afterAll(async () => {
      await s3?.[Symbol.asyncDispose]();
    });

    it("the bundle is in the bucket, whole, gone from the node, and inspect reads it there", async () => {
      const crash = await runCrash(compileCrashPrograms().pattern300, ["40"]);
      const { manifest, path } = await suite.composer.bundleOf(crash.pid);
      const sha256 = await sha256OfFile(path);
      const name = manifest.bundle.replace(/\.zip$/, "");
      const env = { PATH: process.env["PATH"] ?? "", ...s3.env };

      const swept = await runBuilt(
        "cdh-upload",
        ["sweep", "--core-dir", suite.composer.coreDir, "--store", `s3://${s3.bucket}/prod`],
        { env },
      );
      expect(outcomeOf(swept)).toBe("exit 0");
      expect(suite.composer.published()).toEqual([]);
      const keys = await listKeys(s3, s3.bucket, "prod/_host/");
      expect([...keys.keys()].sort()).toEqual([`prod/_host/${name}.manifest.json`, `prod/_host/${name}.zip`]);
      const head = await s3Request(s3, "HEAD", `/${s3.bucket}/prod/_host/${name}.zip`);
      expect(head.headers.get("x-amz-meta-cdh-sha256")).toBe(sha256);
      expect(head.headers.get("x-amz-meta-cdh-crash-id")).toBe(manifest.crashId);

      const place = `s3://${s3.bucket}/prod`;
      const listed = await runBuilt("cdh-inspect", ["ls", place, "-o", "json"], { env });
      expect(outcomeOf(listed)).toBe("exit 0");
      const { bundles } = JSON.parse(listed.stdout) as { bundles: Record<string, unknown>[] };
      expect(bundles.length).toBe(1);
      expect(JSON.stringify(bundles[0])).toContain("SIGSEGV");

      const url = `${place}/_host/${name}.zip`;
      const shown = await runBuilt("cdh-inspect", ["show", url], { env });
      expect(outcomeOf(shown)).toBe("exit 0");
      expect(shown.stdout).toContain("SIGSEGV");
      expect(shown.stdout).toContain("pattern300");
      const verified = await runBuilt("cdh-inspect", ["verify", url], { env });
      expect(outcomeOf(verified)).toBe("exit 0");

      const target = join(suite.scratch, "unpacked");
      const unpacked = await runBuilt("cdh-inspect", ["unpack", url, target], { env });
      expect(outcomeOf(unpacked)).toBe("exit 0");
      expect(await sha256OfFile(findCore(target))).toBe(manifest.core.sha256);
    });

    it("the daemon takes what comes while it runs, and ends at once on SIGTERM", async () => {
      const args = ["run", "--core-dir", suite.composer.coreDir, "--store", `s3://${s3.bucket}/live`];
      await using daemon = startTied(builtPath("cdh-upload"), args, {
        env: { ...s3.env, USE_INOTIFY: "true", METRICS_ADDR: "127.0.0.1:0" },
      });
      const crashes = [await runCrash(compileCrashPrograms().segv), await runCrash(compileCrashPrograms().abrt)];
      expect(crashes.length).toBe(2);
      await expect
        .poll(async () => (await listKeys(s3, s3.bucket, "live/_host/")).size, { timeout: 40_000, interval: 200 })
        .toBe(4);
      await expect.poll(() => suite.composer.published(), { timeout: 10_000 }).toEqual([]);
      const started = performance.now();
      await daemon.stop("TERM");
      expect(await daemon.ended).toBe(0);
      expect(performance.now() - started).toBeLessThan(10_000);
    });
  });
}

describeUnless(unavailable, "a directory as the store", () => {
  const suite = setUpKernel();

  it("takes the bundle, and gdb's input comes out of it unchanged", async () => {
    const crash = await runCrash(compileCrashPrograms().threads);
    const { manifest } = await suite.composer.bundleOf(crash.pid);
    const store = join(suite.scratch, "store");
    mkdirSync(store);
    const swept = await runBuilt("cdh-upload", [
      "sweep",
      "--core-dir",
      suite.composer.coreDir,
      "--store",
      `file://${store}`,
    ]);
    expect(outcomeOf(swept)).toBe("exit 0");
    expect(suite.composer.published()).toEqual([]);
    expect(
      readdirSync(join(store, "_host"))
        .filter((name) => !name.startsWith("."))
        .sort(),
    ).toEqual([manifest.bundle.replace(/zip$/, "manifest.json"), manifest.bundle]);
    const target = join(suite.scratch, "from-store");
    const unpacked = await runBuilt("cdh-inspect", ["unpack", `file://${store}/_host/${manifest.bundle}`, target]);
    expect(outcomeOf(unpacked)).toBe("exit 0");
    expect(await sha256OfFile(findCore(target))).toBe(manifest.core.sha256);
  });
});
