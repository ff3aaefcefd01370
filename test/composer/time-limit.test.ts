import { spawnSync } from "node:child_process";
import { createWriteStream, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { fuseUnavailable, mountFuse, type Fuse } from "../helpers/hanging-mount.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore } from "./drive.ts";

const MIB = 1024 * 1024;
const scratch = scratchDirectory("time-limit");
/** More than is held back before compressors and the hash's thread start. */
const LARGE = smallCore(noise(40 * MIB));

describeUnless(notBuilt("cdc"), "cdc replay", () => {
  const core = join(scratch, "core");
  writeFileSync(core, LARGE);

  it.each([
    ["below a file", () => join(core, "spool")],
    ["that is a symbolic link", () => linkTo(mkdtempSync(join(scratch, "target-")))],
  ])("into a spool %s ends at once with status 13, however large the core", async (_what, spool) => {
    for (const path of [core, smallCoreFile()]) {
      const result = await runBuilt("cdc", ["replay", path, `-d=${spool()}`, "-s=11"], { timeoutMs: 30_000 });
      expect(result).toMatchObject({ exitCode: 13, timedOut: false });
      expect(result.stderr).toContain("CDH_DISK");
      expect(result.stderr).not.toContain("at ");
    }
  });

  it("waits for nothing when its bundle is there", async () => {
    const durations: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const spool = mkdtempSync(join(scratch, "spool-"));
      const result = await runBuilt("cdc", ["replay", smallCoreFile(), `-d=${spool}`, "-s=11"]);
      expect(result.exitCode).toBe(0);
      durations.push(result.durationMs);
    }
    // A timer of a second that nobody called off kept each of them.
    expect(Math.min(...durations)).toBeLessThan(900);
  });
});

describeUnless(
  notBuilt("cdc") ?? fuseUnavailable() ?? missingTools("zstd"),
  "a disk that goes away in the middle of a core",
  () => {
    it("the composer ends soon after TIMEOUT, and publishes nothing torn", async () => {
      await using mount = await mountFuse(scratch, "for-the-kernel");
      await using rig = makeRig({ coreDir: join(mount.path, "cores") });
      rig.env({ TIMEOUT: "3", RATE_LIMIT: "0" });
      const result = await rig.run(coreThenHang(mount), { timeoutMs: 60_000 });
      expect(result).toMatchObject({ exitCode: 13, timedOut: false });
      expect(result.durationMs).toBeLessThan(20_000);
      mount.answer();
      expect(rig.logText()).toContain("no answer until TIMEOUT");
      expect(rig.spool().filter((name) => name.endsWith(".zip") && !name.startsWith("."))).toEqual([]);
    });

    it("replay ends as well", async () => {
      await using mount = await mountFuse(scratch, "for-replay");
      const fifo = join(scratch, "fifo");
      spawnSync("mkfifo", [fifo]);
      const feeding = pipeline(coreThenHang(mount), createWriteStream(fifo)).catch(() => undefined);
      const result = await runBuilt("cdc", ["replay", fifo, `-d=${join(mount.path, "cores")}`, "-s=11"], {
        env: { TIMEOUT: "3" },
        timeoutMs: 50_000,
      });
      mount.answer();
      await feeding;
      expect(result).toMatchObject({ exitCode: 13, timedOut: false });
      expect(result.stderr).toContain("no answer until TIMEOUT");
    });
  },
);

function linkTo(target: string): string {
  const link = join(mkdtempSync(join(scratch, "link-")), "spool");
  symlinkSync(target, link);
  return link;
}

function smallCoreFile(): string {
  const path = join(scratch, "small");
  writeFileSync(path, smallCore(noise(100)));
  return path;
}

/** Half of the core, then the disk hangs, then the rest, slowly and without end. */
function coreThenHang(mount: Fuse): Readable {
  return Readable.from(
    (async function* () {
      yield LARGE.subarray(0, 20 * MIB);
      await delay(500);
      await mount.hang();
      for (let at = 20 * MIB; ; at = (at + MIB) % LARGE.length) {
        yield LARGE.subarray(at, at + MIB);
        await delay(5);
      }
    })(),
  );
}
