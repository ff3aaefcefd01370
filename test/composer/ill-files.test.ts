import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore, type Rig } from "./drive.ts";

const MIB = 1024 * 1024;
const CORE = smallCore(noise(MIB));
const QUICK = { timeoutMs: 20_000 };

const makeFifo = (path: string): void => {
  rmSync(path, { force: true, recursive: true });
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
};
const published = (rig: Rig): number => rig.spool().filter((name) => name.endsWith(".zip")).length;

describeUnless(
  notBuilt("cdc") ?? missingTools("zstd", "mkfifo"),
  "files of the node that are not what they should be",
  () => {
    it.each(["composer.log", ".env"])("%s is a fifo that nobody serves: no core waits for it", async (name) => {
      await using rig = makeRig();
      makeFifo(join(rig.hostDir, name));
      expect(await rig.run(CORE, QUICK)).toMatchObject({ exitCode: 0, timedOut: false });
      expect((await rig.bundle()).manifest.core.complete).toBe(true);
    });

    it(".env is larger than memory: the core is kept, in little memory", async () => {
      await using rig = makeRig();
      truncateSync(join(rig.hostDir, ".env"), 64 * 1024 * MIB);
      const result = await rig.run(CORE, QUICK);
      expect(result).toMatchObject({ timedOut: false });
      expect(result.peakRssBytes).toBeLessThan(128 * MIB);
      expect((await rig.bundle()).manifest.core.complete).toBe(true);
    });

    const damages: { title: string; damage: (path: string) => void }[] = [
      { title: "empty", damage: (path) => writeFileSync(path, "") },
      { title: "no JSON", damage: (path) => writeFileSync(path, '{"kept":[') },
      { title: "another shape", damage: (path) => writeFileSync(path, '{"kept":{"length":9},"suppressed":"x"}') },
      {
        title: "impossible times",
        damage: (path) => writeFileSync(path, '{"kept":[],"suppressed":3,"suppressedSince":"x"}'),
      },
      {
        title: "times beyond all dates",
        damage: (path) => writeFileSync(path, '{"kept":[],"suppressed":1,"suppressedSince":1e300}'),
      },
      { title: "a folder", damage: (path) => (rmSync(path), mkdirSync(path)) },
      { title: "a fifo", damage: makeFifo },
      { title: "larger than memory", damage: (path) => truncateSync(path, 64 * 1024 * MIB) },
    ];
    it.each(damages)("the rate limit's state is $title: the crash is kept, and counted from there", async (given) => {
      await using rig = makeRig();
      rig.env({ RATE_LIMIT: "1/1h" });
      const state = join(rig.coreDir, "state");
      const name = "rate-limit.json";
      await rig.run(CORE);
      given.damage(join(state, name));
      const result = await rig.run(CORE, QUICK);
      expect(result).toMatchObject({ exitCode: 0, timedOut: false });
      expect(result.peakRssBytes).toBeLessThan(128 * MIB);
      expect(published(rig)).toBe(2);
      if (given.title === "a folder") return;
      // The state is a good one again: the limit holds.
      await rig.run(CORE);
      expect(published(rig)).toBe(2);
      expect(Object.values(JSON.parse(readFileSync(join(state, name), "utf8")) as object)).toContainEqual(
        expect.objectContaining({ suppressed: 1 }),
      );
      expect(readdirSync(state).filter((file) => file.endsWith(".tmp"))).toEqual([]);
    });

    it("the rate limit's lock is a fifo: the crash is kept", async () => {
      await using rig = makeRig();
      rig.env({ RATE_LIMIT: "1/1h" });
      await rig.run(CORE);
      makeFifo(join(rig.coreDir, "state/rate-limit.json.lock"));
      expect(await rig.run(CORE, QUICK)).toMatchObject({ exitCode: 0, timedOut: false });
      expect(published(rig)).toBe(2);
    });
  },
);

const canMount =
  process.getuid?.() === 0 ? missingTools("mount", "umount", "zstd") : "mounting a tiny file system needs root";

/** Use a file system of a few mebibytes as the spool. */
async function withTinySpool(megabytes: number, use: (coreDir: string) => Promise<void>): Promise<void> {
  const coreDir = mkdtempSync(join(tmpdir(), "cdh-tiny-"));
  const options = `size=${megabytes}m,mode=0700`;
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", coreDir], { encoding: "utf8" });
  try {
    if (mounted.status !== 0) throw new Error(`mount: ${mounted.stderr}`);
    await use(coreDir);
  } finally {
    spawnSync("umount", ["-l", coreDir]);
    rmSync(coreDir, { recursive: true, force: true });
  }
}

describeUnless(notBuilt("cdc") ?? canMount, "a disk that others fill", () => {
  it.each([{ keepFree: "1Mi" }, { keepFree: "0" }])(
    "while a core is written (KEEP_FREE=$keepFree): what fits is kept in a valid zip",
    ({ keepFree }) =>
      withTinySpool(48, async (coreDir) => {
        await using rig = makeRig({ coreDir });
        rig.env({ KEEP_FREE: keepFree });
        const core = smallCore(noise(64 * MIB));
        const partialBytes = (): number =>
          Math.max(
            0,
            ...rig
              .spool()
              .filter((name) => name.endsWith(".partial"))
              .map((name) => statSync(join(coreDir, name)).size),
          );
        const feed = Readable.from(
          (async function* () {
            yield core.subarray(0, 12 * MIB);
            // Room was measured for the first bytes; the next look comes 32 MiB later.
            while (partialBytes() < 4 * MIB) await new Promise((resolve) => setTimeout(resolve, 5));
            const other = spawnSync("dd", ["if=/dev/zero", `of=${join(coreDir, "other")}`, "bs=64k"], {
              encoding: "utf8",
            });
            expect(other.stderr).toContain("No space left");
            yield core.subarray(12 * MIB);
          })(),
        );
        const result = await rig.run(feed);
        expect(result).toMatchObject({ exitCode: 3, timedOut: false });
        const bundle = await rig.bundle();
        expect(["keepFree", "diskFull"]).toContain(bundle.manifest.core.truncatedBy);
        expect(bundle.manifest.core.sizeBytes).toBeGreaterThan(2 * MIB);
        const scratch = mkdtempSync(join(tmpdir(), "cdh-full-"));
        try {
          const { path } = await bundle.unpackCore(scratch);
          const bytes = readFileSync(path);
          expect(bytes.length).toBe(bundle.manifest.core.sizeBytes);
          expect(bytes.equals(core.subarray(0, bytes.length))).toBe(true);
        } finally {
          rmSync(scratch, { recursive: true });
        }
        expect(statSync(join(coreDir, "other")).size).toBeGreaterThan(16 * MIB);
        expect(rig.spool().filter((name) => name.endsWith(".partial"))).toEqual([]);
      }),
  );

  it("that is full costs the rate limit's count, not the core, and leaves no litter", () =>
    withTinySpool(1, async (coreDir) => {
      await using rig = makeRig({ coreDir });
      rig.env({ RATE_LIMIT: "1/1h", KEEP_FREE: "0", COMPRESSION: "none" });
      await rig.run(smallCore(noise(32 * 1024)));
      expect(published(rig)).toBe(1);
      spawnSync("dd", ["if=/dev/zero", `of=${join(coreDir, "other")}`, "bs=4k"]);
      // Room for the bundle's end, not for more.
      truncateSync(join(coreDir, "other"), readFileSync(join(coreDir, "other")).length - 4096 * 12);
      await rig.run(CORE);
      const state = join(coreDir, "state");
      expect(readdirSync(state).filter((file) => file.endsWith(".tmp"))).toEqual([]);
      expect(rig.spool().filter((name) => name.startsWith("."))).toEqual([]);
    }));
});
