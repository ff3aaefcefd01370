import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { makeRig, noise, smallCore, type Rig } from "../composer/drive.ts";
import { containerCgroup, makeProcRoot } from "../composer/proc-root.ts";
import { notBuilt, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const MIB = 1024 * 1024;
const scratch = scratchDirectory("node-line");
const VICTIM = smallCore(noise(9 * MIB));
const CHUNK = noise(MIB, 7);
/** Until then an attacker's core goes on, seconds. */
const TIMEOUT = 25;

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

/** A composer whose crashes come from this pod. All of one node share its spool. */
function composerOf(coreDir: string, pod: number, settings: Record<string, string> = {}): { rig: Rig; args: string[] } {
  const rig = makeRig({ coreDir });
  open.push(rig);
  const proc = mkdtempSync(join(scratch, "proc-"));
  const uid = `0000000${pod}-8f4c-4f3b-9a57-0c6a1f6e2d11`;
  const args = makeProcRoot(proc, { cgroup: containerCgroup(String(pod).repeat(64), uid) });
  rig.env({ PROC_ROOT: proc, TIMEOUT: String(TIMEOUT), IGNORE_CRIO: "true", CONCURRENCY: "4", ...settings });
  return { rig, args };
}

/** A core that never ends. */
function endless(everyMs: number, chunk: Buffer, stop: AbortSignal): Readable {
  return Readable.from(
    (async function* () {
      yield smallCore(noise(2 * MIB));
      while (!stop.aborted) {
        yield chunk;
        if (everyMs > 0) await delay(everyMs);
      }
    })(),
  );
}

async function timeOf(work: Promise<BuiltResult>): Promise<number> {
  const result = await work;
  expect([0, 3]).toContain(result.exitCode);
  return result.durationMs;
}

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "four endless cores of others", () => {
  it.each([
    ["that trickle, of one pod", 200, CHUNK.subarray(0, 4096), (): number => 1],
    ["that trickle, of four pods", 200, CHUNK.subarray(0, 4096), (index: number): number => 1 + index],
    ["that come as fast as they can, of one pod", 0, CHUNK, (): number => 1],
  ])("%s, do not hold a small core up", async (_what, everyMs, chunk, podOf) => {
    const coreDir = mkdtempSync(join(scratch, "cores-"));
    const victim = composerOf(coreDir, 9);
    const run = (): Promise<number> => timeOf(victim.rig.run(VICTIM, { args: victim.args }));
    await run();
    const quiet = Math.min(await run(), await run());
    const stop = new AbortController();
    const attacks = [0, 1, 2, 3].map((index) => {
      const { rig, args } = composerOf(coreDir, podOf(index), { COMPRESSION_THREADS: "1" });
      return rig.run(endless(everyMs, chunk, stop.signal), { args });
    });
    await expect.poll(() => slotsHeld(coreDir)).toBe(4);
    const attacked = await run();
    stop.abort();
    await Promise.all(attacks);
    process.stderr.write(`line: ${quiet.toFixed(0)} ms on a quiet node, ${attacked.toFixed(0)} ms beside them\n`);
    // Whoever stands behind them in the line is held until their TIMEOUT. A multiple of the quiet time is bounded too, as the line
    // costs none; what it may be is wide, because a suite that runs beside this one takes both processors for seconds.
    expect(attacked).toBeLessThan(Math.min((TIMEOUT * 1_000) / 2, 8 * quiet + 6_000));
    expect(readdirSync(join(coreDir, "state", "line"))).toEqual([]);
  });

  it("COMPRESSION=none waits in no line", async () => {
    const coreDir = mkdtempSync(join(scratch, "cores-"));
    mkdirSync(join(coreDir, "state"), { mode: 0o700 });
    const plain = composerOf(coreDir, 9, { COMPRESSION: "none" });
    expect((await plain.rig.run(VICTIM, { args: plain.args })).exitCode).toBe(0);
    expect(readdirSync(join(coreDir, "state"))).not.toContain("slots");
  });
});

/** Slots whose lock somebody holds, as the kernel lists locks. */
function slotsHeld(coreDir: string): number {
  const directory = join(coreDir, "state", "slots");
  try {
    const inodes = new Set(readdirSync(directory).map((name) => statSync(join(directory, name)).ino));
    return readFileSync("/proc/locks", "utf8")
      .split("\n")
      .filter((line) => inodes.has(Number(/:(\d+) 0 EOF$/.exec(line)?.[1]))).length;
  } catch {
    return 0;
  }
}
