import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { startS3Server } from "../helpers/s3-server.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { windowsPath, windowsUnavailable, WindowsNode, type WindowsResult } from "./windows-node.ts";

/** Noise, zeros, and every value of a byte, which a text stream would change. */
const core = Buffer.concat([
  makeTinyCore(4096),
  Buffer.from(Uint8Array.from({ length: 4096 }, (_, index) => index % 256)),
  Buffer.from(new SeededRandom(3).bytes(2_000_000)),
  Buffer.alloc(3_000_000),
]);

/** Names that are names everywhere but on Windows, and what they become there. */
const AWKWARD: Readonly<Record<string, string>> = {
  CON: "_CON",
  "aux.txt": "_aux.txt",
  "com1.log": "_com1.log",
  "xa:b": "xa_b",
  "dots...": "dots_",
  "blank ": "blank_",
  'quo"te<>|?*.txt': "quo_te_____.txt",
  "deep/nul/x.txt": "deep/_nul/x.txt",
  "ünï €.txt": "ünï €.txt",
};

describeUnless(windowsUnavailable() ?? notBuilt("cdh-inspect"), "the npm package of cdh-inspect on Windows", () => {
  let windows: WindowsNode;
  let place: string;
  let app: string;
  let bundle: string;

  const inspect = (args: readonly string[], options?: Parameters<WindowsNode["run"]>[1]): Promise<WindowsResult> =>
    windows.run([windowsPath(join(app, "cdh-inspect.mjs")), ...args], options);
  const done = (result: WindowsResult): string => {
    expect([result.exitCode, result.stderr]).toEqual([0, ""]);
    return result.stdout.toString();
  };

  beforeAll(async () => {
    windows = await WindowsNode.start();
    place = join(await mkdtemp(join(tmpdir(), "cdh-on-windows-")), "a place with späces");
    await mkdir(place);
    const tarball = execFileSync(
      process.execPath,
      [join(REPOSITORY, "scripts/pack-inspect.ts"), join(place, "packed")],
      {
        encoding: "utf8",
      },
    ).trim();
    execFileSync("tar", ["-xzf", tarball, "-C", place]);
    app = join(place, "package");
    const { dumpInfo, core: entry, log, manifest } = makeSampleEntries(core);
    await mkdir(join(place, "spool/payments"), { recursive: true });
    bundle = join(place, "spool/payments", `${SAMPLE_NAME}.zip`);
    await writeFile(bundle, makeRawZip([dumpInfo, entry, log, manifest]));
    await writeFile(
      join(place, "awkward.zip"),
      makeRawZip(Object.keys(AWKWARD).map((name) => ({ name, data: Buffer.from(name) }))),
    );
  }, 300_000);

  afterAll(async () => {
    await windows[Symbol.asyncDispose]();
    await rm(join(place, ".."), { recursive: true, force: true });
  });

  it("finds a bundle by drive and backslashes, by a URL, by a part of its name, and in the current directory", async () => {
    const spool = windowsPath(join(place, "spool"));
    expect(done(await inspect(["ls", spool]))).toMatch(/payments\/worker.*complete/);
    expect(done(await inspect(["ls", "-q"], { cwd: join(place, "spool") }))).toBe(`payments\\${SAMPLE_NAME}.zip\n`);
    const url = `file:///Z:${encodeURI(bundle)}`;
    for (const way of [windowsPath(bundle), url, `${spool}\\payments\\11112222`, `${spool}/11112222`, spool]) {
      const shown = done(await inspect(["show", way]));
      expect(shown, way).toContain("server died of SIGSEGV in payments/worker");
      expect(shown).toContain(windowsPath(bundle));
    }
  }, 300_000);

  it("reads threads, modules, logs and bytes", async () => {
    const file = windowsPath(join(REPOSITORY, "test/fixtures/bundles/older/ibm-v8.zip"));
    const { threads } = JSON.parse(done(await inspect(["threads", "-o", "json", file]))) as { threads: unknown[] };
    expect(threads).toHaveLength(4);
    expect(done(await inspect(["modules", file]))).toContain("/usr/lib/x86_64-linux-gnu/libc.so.6");
    expect(done(await inspect(["logs", "-c", "sidecar", file]))).toBe("container 1 says hello\n");
    const all = await inspect(["cat", windowsPath(bundle), "core"]);
    expect(all.exitCode).toBe(0);
    expect(all.stdout.equals(core)).toBe(true);
    expect((await inspect(["bt", "--raw", file])).stdout.toString()).toContain("threads+0x127c");
  }, 300_000);

  it("verifies, reports, completes and tells mistakes", async () => {
    expect(done(await inspect(["verify", windowsPath(bundle)]))).toContain("all right");
    const report = join(place, "a report.html");
    done(await inspect(["report", windowsPath(bundle), "-o", windowsPath(report)]));
    expect(await readFile(report, "utf8")).toContain("<!doctype html>");
    expect(done(await inspect(["completion", "bash"]))).toContain("complete -o default");
    const missing = await inspect(["show", "Z:\\nowhere\\x.zip"]);
    expect(missing.exitCode).toBe(12);
    expect(missing.stderr).toContain("(CDH_NOT_FOUND)");
  }, 300_000);

  it("unpacks, with names that Windows can have", async () => {
    const target = join(place, "unpacked");
    done(await inspect(["unpack", windowsPath(bundle), windowsPath(target)]));
    expect((await readFile(join(target, `${SAMPLE_NAME}.core`))).equals(core)).toBe(true);
    const again = await inspect(["unpack", windowsPath(bundle), windowsPath(target)]);
    expect([again.exitCode, again.stderr]).toEqual([13, expect.stringContaining("already exists")]);
    const awkward = join(place, "awkward");
    done(await inspect(["unpack", windowsPath(join(place, "awkward.zip")), windowsPath(awkward)]));
    const written = (await readdir(awkward, { recursive: true })).filter((name) =>
      statSync(join(awkward, name)).isFile(),
    );
    expect(written.toSorted()).toEqual(Object.values(AWKWARD).toSorted());
  }, 300_000);

  it("keeps two entries apart whose names are one on Windows", async () => {
    const target = join(place, "twins");
    const names = ["xa:b", "xa_b", "xA?b"];
    const zip = join(place, "twins.zip");
    await writeFile(zip, makeRawZip(names.map((name) => ({ name, data: Buffer.from(name) }))));
    done(await inspect(["unpack", "--force", windowsPath(zip), windowsPath(target)]));
    const files = await readdir(target);
    const texts = await Promise.all(files.map((name) => readFile(join(target, name), "utf8")));
    expect(texts.toSorted()).toEqual(names.toSorted());
    expect(new Set(files.map((name) => name.toLowerCase())).size).toBe(3);
  }, 120_000);

  it("is kubectl's plugin by the script that npm writes for it", async () => {
    const npm = execFileSync("sh", ["-c", 'readlink -f "$(command -v npm)"'], { encoding: "utf8" }).trim();
    const prefix = join(place, "prefix");
    await mkdir(prefix);
    const packed = await readdir(join(place, "packed"));
    const tarball = join(place, "packed", packed.find((name) => name.endsWith(".tgz")) ?? "");
    const flags = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const installed = await windows.run([
      windowsPath(npm),
      "install",
      "-g",
      ...flags,
      "--prefix",
      windowsPath(prefix),
      windowsPath(tarball),
    ]);
    expect(installed.exitCode, installed.stderr).toBe(0);
    const script = readFileSync(join(prefix, "kubectl-coredump.cmd"), "utf8");
    // This wine's cmd.exe does not know the last line's trick, so the file that it starts is started as it would.
    const started = /"%_prog%"\s+"%dp0%\\([^"]+)" %\*/.exec(script)?.[1]?.replaceAll("\\", "/") ?? "";
    expect(existsSync(join(prefix, started))).toBe(true);
    const help = done(await windows.run([windowsPath(join(prefix, started)), "--help"]));
    expect(help).toContain("Usage: kubectl coredump COMMAND");
  }, 300_000);

  describe("with a bucket", () => {
    it("lists, shows and unpacks out of MinIO", async (context) => {
      const { reason } = findTool("minio");
      if (reason !== undefined) skipAloud(context, reason);
      await using s3 = await startS3Server({ kind: "minio", bucket: "cores" });
      const { status } = await s3Request(s3, "PUT", `/cores/prod/${SAMPLE_NAME}.zip`, { body: await readFile(bundle) });
      expect(status).toBe(200);
      const env = s3.env;
      expect(done(await inspect(["ls", "-q", "s3://cores"], { env }))).toBe(`s3://cores/prod/${SAMPLE_NAME}.zip\n`);
      expect(done(await inspect(["show", "s3://cores/prod/1111"], { env }))).toContain("server died of SIGSEGV");
      const target = join(place, "from-s3");
      done(await inspect(["unpack", "--entry", "core", "s3://cores/prod", windowsPath(target)], { env }));
      const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
      expect(hash(await readFile(join(target, `${SAMPLE_NAME}.core`)))).toBe(hash(core));
    }, 300_000);
  });

  it("ends on Ctrl-C in a console, and goes on later", async (context) => {
    const script = findTool("script");
    if (script.reason !== undefined) skipAloud(context, script.reason);
    const large = Buffer.alloc(512 * 1024 * 1024, 1);
    const entries = makeSampleEntries(large);
    const zip = join(place, "large.zip");
    await writeFile(zip, makeRawZip([entries.core, entries.manifest]));
    const target = join(place, "interrupted");
    const partial = join(target, `${SAMPLE_NAME}.core.partial`);
    const words = windows.command([
      windowsPath(join(app, "cdh-inspect.mjs")),
      "unpack",
      windowsPath(zip),
      windowsPath(target),
    ]);
    const line = words.map((word) => `'${word}'`).join(" ");
    const child = spawn(script.path, ["-qec", line, "/dev/null"], {
      stdio: ["pipe", "pipe", "pipe"],
      env: windows.env(),
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, "exit") as Promise<[number | null]>;
    await expect
      .poll(() => statSync(partial, { throwIfNoEntry: false })?.size ?? 0, { timeout: 60_000, interval: 5 })
      .toBeGreaterThan(0);
    child.stdin.write("\u0003");
    expect([(await ended)[0], output]).toEqual([130, expect.stringContaining("cdh-inspect: interrupted")]);
    const again = done(await inspect(["unpack", "-o", "json", windowsPath(zip), windowsPath(target)]));
    const { files } = JSON.parse(again) as {
      files: { sizeBytes: number; unchanged?: true; resumedAtBytes?: number }[];
    };
    expect(files).toEqual([
      expect.objectContaining({ unchanged: true }),
      expect.objectContaining({ sizeBytes: large.length, resumedAtBytes: expect.any(Number) as number }),
    ]);
  }, 300_000);
});
