import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { kernelWords, makeRig, noise, smallCore, type Rig } from "../composer/drive.ts";
import { containerCgroup, makeProcRoot } from "../composer/proc-root.ts";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const scratch = scratchDirectory("floods");
const CORE = smallCore(noise(4096));

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

const published = (rig: Rig): string[] => rig.spool().filter((name) => name.endsWith(".zip") && !name.startsWith("."));
const logged = (rig: Rig, text: string): Record<string, unknown>[] =>
  rig
    .logText()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line["msg"] === text);

/** A composer on a node's spool whose crashes come from this pod. */
function composerOf(coreDir: string, pod: number): { rig: Rig; crash: (exe: string) => Promise<number | null> } {
  const rig = makeRig({ coreDir });
  open.push(rig);
  const proc = mkdtempSync(join(scratch, "proc-"));
  const uid = `0000000${pod}-8f4c-4f3b-9a57-0c6a1f6e2d11`;
  const words = makeProcRoot(proc, { cgroup: containerCgroup(String(pod).repeat(64), uid) });
  rig.env({ PROC_ROOT: proc, IGNORE_CRIO: "true", RATE_LIMIT: "5/1h", RATE_LIMIT_POD: "8/1h" });
  const crash = async (exe: string): Promise<number | null> => {
    const args = words.map((word) => (word.startsWith("-E=") ? `-E=${exe}` : word));
    return (await rig.run(CORE, { args })).exitCode;
  };
  return { rig, crash };
}

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "a pod that crashes under ever new paths", () => {
  it("has as many bundles kept as a pod may, costs another pod none, and its counts are one file", async () => {
    const coreDir = mkdtempSync(join(scratch, "cores-"));
    const loud = composerOf(coreDir, 1);
    for (let index = 0; index < 30; index += 1) expect(await loud.crash(`!tmp!x-${index}`)).toBe(0);
    expect(published(loud.rig)).toHaveLength(8);
    const refused = logged(loud.rig, "crash not kept").map((line) => line["reason"]);
    expect(refused).toHaveLength(22);
    expect(refused.at(-1)).toBe("rate limit of the pod reached, 22 suppressed so far");
    const calm = composerOf(coreDir, 2);
    expect(await calm.crash("!srv!app")).toBe(0);
    expect(published(calm.rig)).toHaveLength(9);
    expect(readdirSync(join(coreDir, "state")).filter((name) => name.startsWith("rate"))).toEqual([
      "rate-limit.json",
      "rate-limit.json.lock",
    ]);
    // 8 paths, 2 pods, 2 namespaces, the calm one's path: the 22 others made none.
    const counts = JSON.parse(readFileSync(join(coreDir, "state/rate-limit.json"), "utf8")) as object;
    expect(Object.keys(counts)).toHaveLength(13);
  });

  it("outside of pods is a user; what is suppressed is told with the next bundle", async () => {
    await using rig = makeRig();
    rig.env({ RATE_LIMIT: "5/1h", RATE_LIMIT_POD: "2/1h" });
    for (let index = 0; index < 5; index += 1)
      await rig.run(CORE, { args: kernelWords({ E: `!tmp!x-${index}`, u: "1000" }) });
    expect(published(rig)).toHaveLength(2);
    await rig.run(CORE, { args: kernelWords({ u: "1001" }) });
    expect(published(rig)).toHaveLength(3);
    const path = join(rig.coreDir, "state/rate-limit.json");
    const counts = JSON.parse(readFileSync(path, "utf8")) as Record<string, { kept: number[] }>;
    for (const count of Object.values(counts)) count.kept = count.kept.map((at) => at - 7_200_000);
    writeFileSync(path, JSON.stringify(counts));
    await rig.run(CORE, { args: kernelWords({ E: "!tmp!y", u: "1000" }) });
    const told = (await rig.bundles()).flatMap(({ manifest }) => manifest.suppressed ?? []);
    expect(told).toMatchObject([{ count: 3 }]);
  });
});

const canMount =
  process.getuid?.() === 0 ? missingTools("mount", "umount", "zstd") : "mounting a tiny file system needs root";

describeUnless(notBuilt("cdc") ?? canMount, "a disk short of inodes", () => {
  it("below KEEP_FREE_INODES crashes are counted and told, and nothing is written", () =>
    withInodes(200, async (coreDir) => {
      await using rig = makeRig({ coreDir });
      rig.env({ KEEP_FREE: "0" });
      await rig.run(CORE);
      expect(published(rig)).toHaveLength(1);
      const fill = join(coreDir, "others");
      useInodesUntil(coreDir, fill, 8);
      const before = statfsSync(coreDir).ffree;
      for (let crash = 0; crash < 3; crash += 1) expect((await rig.run(CORE)).exitCode).toBe(13);
      expect(published(rig)).toHaveLength(1);
      // The file of the counts and its lock.
      expect(before - statfsSync(coreDir).ffree).toBeLessThanOrEqual(2);
      expect(logged(rig, "crash not kept").at(-1)).toMatchObject({
        level: "error",
        reason: "too few inodes are free (KEEP_FREE_INODES), 3 not kept so far",
      });
      rmSync(fill, { recursive: true });
      expect((await rig.run(CORE)).exitCode).toBe(0);
      const told = (await rig.bundles()).flatMap(({ manifest }) => manifest.suppressed ?? []);
      expect(told).toMatchObject([{ count: 3 }]);
    }));

  it.each([1, 2, 3, 4, 5, 6])("with %d free and no limit, the bundle is written", (free) =>
    withInodes(200, async (coreDir) => {
      await using rig = makeRig({ coreDir });
      rig.env({ KEEP_FREE: "0", KEEP_FREE_INODES: "0", RATE_LIMIT: "5/1h" });
      useInodesUntil(coreDir, join(coreDir, "others"), free);
      // More than a frame: it also stands in the node's line.
      const result = await rig.run(smallCore(noise(3 * 1024 * 1024)));
      expect(result.exitCode).toBe(0);
      expect((await rig.bundle()).manifest.core.complete).toBe(true);
    }),
  );
});

async function withInodes(count: number, use: (coreDir: string) => Promise<void>): Promise<void> {
  const coreDir = mkdtempSync(join(tmpdir(), "cdh-inodes-"));
  const options = `size=64m,mode=0700,nr_inodes=${count}`;
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", coreDir], { encoding: "utf8" });
  try {
    if (mounted.status !== 0) throw new Error(`mount: ${mounted.stderr}`);
    await use(coreDir);
  } finally {
    spawnSync("umount", ["-l", coreDir]);
    rmSync(coreDir, { recursive: true, force: true });
  }
}

/** Make files until only so many more can be made. */
function useInodesUntil(coreDir: string, directory: string, free: number): void {
  mkdirSync(directory);
  for (let index = 0; statfsSync(coreDir).ffree > free; index += 1) writeFileSync(join(directory, String(index)), "");
  expect(statSync(directory).isDirectory()).toBe(true);
  expect(statfsSync(coreDir).ffree).toBe(free);
}
