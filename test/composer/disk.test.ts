import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, runBuilt, runPath } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";

const MIB = 1024 * 1024;
const scratch = scratchDirectory("disk");

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "the composer's disk", () => {
  const core = smallCore(noise(3 * MIB));

  it("a spool that can't be made: status 13, the reason in the log, the writer not blocked", async () => {
    await using rig = makeRig({ coreDir: "/proc/no/such/spool" });
    const result = await rig.run(core, { timeoutMs: 20_000 });
    expect(result).toMatchObject({ exitCode: 13, timedOut: false });
    expect(rig.logText()).toContain("/proc/no/such/spool");
  });

  it("a spool that is a file: status 13, the file untouched", async () => {
    const file = join(mkdtempSync(join(scratch, "core-")), "spool");
    writeFileSync(file, "mine");
    await using rig = makeRig({ coreDir: file });
    expect(await rig.run(core, { timeoutMs: 20_000 })).toMatchObject({ exitCode: 13, timedOut: false });
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  it("a spool that is not there yet is made, for root alone", async () => {
    await using rig = makeRig();
    rmSync(rig.coreDir, { recursive: true });
    expect((await rig.run(core)).exitCode).toBe(0);
    expect(statSync(rig.coreDir).mode & 0o777).toBe(0o700);
    expect(statSync((await rig.bundle()).path).mode & 0o777).toBe(0o600);
  });

  it("a log that is a link to /dev/full, or to somebody's file, is not followed and costs no core", async () => {
    for (const target of ["/dev/full", join(tmpdir(), "cdh-must-not-appear")]) {
      await using rig = makeRig();
      symlinkSync(target, join(rig.hostDir, "composer.log"));
      await rig.run(core);
      expect((await rig.bundle()).manifest.core.complete).toBe(true);
      expect(existsSync(join(tmpdir(), "cdh-must-not-appear"))).toBe(false);
      expect(lstatSync(target === "/dev/full" ? target : "/dev/full").isCharacterDevice()).toBe(true);
    }
  });

  it("stdout and stderr on /dev/full cost no core", async () => {
    await using rig = makeRig();
    const result = spawnSync(
      "/bin/sh",
      ["-c", 'exec "$0" -P=1 -s=6 >/dev/full 2>/dev/full', join(rig.hostDir, "cdc")],
      { env: {}, cwd: "/", input: core },
    );
    expect(result.status).toBe(0);
    expect((await rig.bundle()).manifest.core.complete).toBe(true);
  });

  it("killed in the middle, it leaves no published name", async () => {
    await using rig = makeRig();
    const endless = Readable.from(
      (async function* () {
        yield core;
        await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
      })(),
    );
    const killWhen = (): boolean => rig.spool().some((name) => name.endsWith(".partial"));
    const result = await rig.run(endless, { killWhen });
    expect(result).toMatchObject({ signal: "SIGKILL", timedOut: false });
    expect(rig.spool().filter((name) => !name.startsWith(".") && name.endsWith(".zip"))).toEqual([]);
    expect(rig.spool().filter((name) => /^\..+\.zip\.partial$/.test(name)).length).toBe(1);
  });

  it("CORE_SIZE_MAX cuts the core, marks it, and everything else is whole", async () => {
    await using rig = makeRig();
    rig.env({ CORE_SIZE_MAX: "1Mi" });
    expect([0, 3]).toContain((await rig.run(core)).exitCode);
    const bundle = await rig.bundle();
    expect(bundle.manifest.core).toMatchObject({
      complete: false,
      truncatedBy: "coreSizeMax",
      sizeBytes: MIB,
      expectedBytes: core.length,
    });
    const unpacked = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
    expect(unpacked.sha256).toBe(bundle.manifest.core.sha256);
  });

  it("MAX_USE cuts the core, not what waits for its upload, and everything else is whole", async () => {
    await using rig = makeRig();
    mkdirSync(rig.coreDir, { recursive: true });
    writeFileSync(join(rig.coreDir, "earlier.zip"), noise(2 * MIB));
    rig.env({ MAX_USE: "4M", COMPRESSION: "none" });
    expect((await rig.run(smallCore(noise(16 * MIB)))).exitCode).toBe(3);
    expect(statSync(join(rig.coreDir, "earlier.zip")).size).toBe(2 * MIB);
    rmSync(join(rig.coreDir, "earlier.zip"));
    const bundle = await rig.bundle();
    expect(bundle.manifest.core).toMatchObject({ complete: false, truncatedBy: "maxUse" });
    expect(bundle.manifest.problems).toContainEqual({
      step: "drain",
      code: "CDH_DISK",
      detail: "no more room: maxUse",
    });
    expect(bundle.manifest.core.sizeBytes).toBeGreaterThan(0);
    expect(bundle.manifest.core.sizeBytes).toBeLessThanOrEqual(2 * MIB);
  });

  it("TIMEOUT ends a core that never ends, marks it, and everything else is whole", async () => {
    await using rig = makeRig();
    rig.env({ TIMEOUT: "2" });
    const endless = Readable.from(
      (async function* () {
        yield core.subarray(0, MIB);
        await new Promise((resolve) => setTimeout(resolve, 30_000).unref());
      })(),
    );
    const result = await rig.run(endless, { timeoutMs: 20_000 });
    expect(result.timedOut).toBe(false);
    const bundle = await rig.bundle();
    expect(bundle.manifest.core).toMatchObject({ complete: false, truncatedBy: "deadline", sizeBytes: MIB });
    const unpacked = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
    expect(unpacked.sha256).toBe(bundle.manifest.core.sha256);
  });

  it("TIMEOUT ends a core of zeros too, which come faster than anything else", async () => {
    await using rig = makeRig();
    rig.env({ TIMEOUT: "1" });
    // Through a pipe, as from the kernel; cat ends with the pipe.
    const script = '/bin/cat /dev/zero | exec "$0" -P=4194303 -s=11 -e=crashy';
    const result = await runPath("/bin/sh", ["-c", script, join(rig.hostDir, "cdc")], {
      env: {},
      cwd: "/",
      timeoutMs: 60_000,
    });
    expect(result).toMatchObject({ timedOut: false, exitCode: 32 });
    const { manifest, path } = await rig.bundle();
    expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "deadline" });
    expect(manifest.core.sizeBytes).toBeGreaterThan(32 * MIB);
    // All of it passed through, and was hashed, without being kept in memory or on the disk.
    expect(manifest.core.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(statSync(path).size).toBeLessThan(2 * MIB);
  });
});

const canMount =
  process.getuid?.() === 0 ? missingTools("mount", "umount", "zstd") : "mounting a tiny file system needs root";

describeUnless(notBuilt("cdc") ?? canMount, "a full spool", () => {
  const mounts = mkdtempSync(join(tmpdir(), "cdh-tiny-"));
  const tiny = join(mounts, "spool");
  beforeAll(() => {
    mkdirSync(tiny);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", tiny], { encoding: "utf8" });
    if (mounted.status !== 0) throw new Error(`mount: ${mounted.stderr}`);
  });
  afterAll(() => {
    spawnSync("umount", [tiny]);
    rmSync(mounts, { recursive: true, force: true });
  });

  it.each([{ compression: "zstd" }, { compression: "deflate" }, { compression: "none" }])(
    "with $compression: what fits is kept in a valid zip that says why it is not all",
    async ({ compression }) => {
      for (const name of readdirSync(tiny)) rmSync(join(tiny, name), { recursive: true });
      await using rig = makeRig({ coreDir: tiny });
      rig.env({ KEEP_FREE: "0", COMPRESSION: compression });
      const big = smallCore(noise(32 * MIB));
      const result = await rig.run(big);
      expect([0, 3]).toContain(result.exitCode);
      const bundle = await rig.bundle();
      expect(bundle.manifest.core.complete).toBe(false);
      expect(["diskFull", "keepFree"]).toContain(bundle.manifest.core.truncatedBy);
      expect(bundle.manifest.core.sizeBytes).toBeGreaterThan(3 * MIB);
      const unpacked = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
      // Bytes that were given up again may be in the running hash: then there is none, but never a wrong one.
      expect([undefined, unpacked.sha256]).toContain(bundle.manifest.core.sha256);
      expect(statSync(unpacked.path).size).toBe(bundle.manifest.core.sizeBytes);
      expect(rig.spool().filter((name) => name.endsWith(".partial"))).toEqual([]);
      if (notBuilt("cdh-inspect") === undefined) {
        expect([0, 3]).toContain((await runBuilt("cdh-inspect", ["verify", bundle.path])).exitCode);
      }
    },
  );

  it("KEEP_FREE leaves that much of the disk and deletes nothing to get there", async () => {
    for (const name of readdirSync(tiny)) rmSync(join(tiny, name), { recursive: true });
    writeFileSync(join(tiny, "earlier.zip"), noise(MIB));
    await using rig = makeRig({ coreDir: tiny });
    rig.env({ KEEP_FREE: "4Mi" });
    const result = await rig.run(smallCore(noise(32 * MIB)));
    expect(result.timedOut).toBe(false);
    expect(statSync(join(tiny, "earlier.zip")).size).toBe(MIB);
    const { bavail, bsize } = statfsSync(tiny);
    expect(bavail * bsize).toBeGreaterThanOrEqual(4 * MIB - 64 * 1024);
    rmSync(join(tiny, "earlier.zip"));
    const { manifest } = await rig.bundle();
    expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "keepFree" });
    expect(manifest.problems).toContainEqual({ step: "drain", code: "CDH_DISK", detail: "no more room: keepFree" });
  });

  it("with no room at all: status 13, nothing half-made, the writer not blocked", async () => {
    for (const name of readdirSync(tiny)) rmSync(join(tiny, name), { recursive: true });
    spawnSync("dd", ["if=/dev/zero", `of=${join(tiny, "ballast")}`, "bs=64k"]);
    await using rig = makeRig({ coreDir: tiny });
    rig.env({ KEEP_FREE: "0" });
    const result = await rig.run(smallCore(noise(MIB)), { timeoutMs: 20_000 });
    expect(result).toMatchObject({ exitCode: 13, timedOut: false });
    expect(rig.spool().filter((name) => name.includes(".zip"))).toEqual([]);
    expect(rig.logText()).toMatch(/no space|CDH_SPOOL_FULL/);
  });
});
