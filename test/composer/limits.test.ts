import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig, noise, smallCore, type Rig } from "./drive.ts";

const MIB = 1024 * 1024;
const scratch = scratchDirectory("limits");
const CORE = smallCore(noise(3 * MIB));

/** Lines of composer.log with this message. */
function logged(rig: Rig, message: string): Record<string, unknown>[] {
  return rig
    .logText()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message);
}

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "the core limit of the crashed process", () => {
  it.each([{ limit: 0 }, { limit: 100_000 }, { limit: 2 * MIB + 1 }])(
    "of $limit bytes is honoured, and what crashed is known all the same",
    async ({ limit }) => {
      await using rig = makeRig();
      expect((await rig.run(CORE, { args: kernelWords({ c: String(limit) }) })).exitCode).toBe(3);
      const bundle = await rig.bundle();
      expect(bundle.manifest.core).toMatchObject({ complete: false, truncatedBy: "rlimit", sizeBytes: limit });
      expect(bundle.manifest.signal).toMatchObject({ number: 11, faultAddress: "0xdead" });
      expect(bundle.manifest.threads?.length).toBe(1);
      const unpacked = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
      expect(readFileSync(unpacked.path).equals(CORE.subarray(0, limit))).toBe(true);
      expect(unpacked.sha256).toBe(bundle.manifest.core.sha256);
    },
  );

  it("is passed by with RLIMIT_CORE=ignore", async () => {
    await using rig = makeRig();
    rig.env({ RLIMIT_CORE: "ignore" });
    expect((await rig.run(CORE, { args: kernelWords({ c: "0" }) })).exitCode).toBe(0);
    expect((await rig.bundle()).manifest.core).toMatchObject({ complete: true, sizeBytes: CORE.length });
  });
});

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "crashes that are not wanted", () => {
  it("beyond RATE_LIMIT are counted, and the next bundle says how many", async () => {
    await using rig = makeRig();
    rig.env({ RATE_LIMIT: "1/1h" });
    const published = (): number => rig.spool().filter((name) => name.endsWith(".zip")).length;
    await rig.run(CORE);
    for (let run = 0; run < 2; run++) expect((await rig.run(CORE)).exitCode).toBe(0);
    expect(published()).toBe(1);
    expect(logged(rig, "crash not kept").map(({ reason }) => reason)).toEqual([
      "rate limit reached, 1 suppressed so far",
      "rate limit reached, 2 suppressed so far",
    ]);
    // Another signal is another workload's crash.
    await rig.run(CORE, { args: kernelWords({ s: "6" }) });
    expect(published()).toBe(2);

    // Two hours later.
    const path = join(rig.coreDir, "state", "rate-limit.json");
    const state = JSON.parse(readFileSync(path, "utf8")) as Record<string, { kept: number[] }>;
    for (const count of Object.values(state)) count.kept = count.kept.map((time) => time - 7_200_000);
    writeFileSync(path, JSON.stringify(state));
    await rig.run(CORE);
    const told = (await rig.bundles()).flatMap(({ manifest }) => manifest.suppressed ?? []);
    expect(told).toEqual([{ count: 2, since: expect.stringMatching(/^\d{4}-.*Z$/) as string }]);
  });

  it("beyond RATE_LIMIT are not kept either while somebody holds the counts, and both kinds say so", async (context) => {
    const reason = missingTools("flock");
    if (reason !== undefined) skipAloud(context, reason);
    await using rig = makeRig();
    rig.env({ RATE_LIMIT: "3/1h" });
    mkdirSync(join(rig.coreDir, "state"), { recursive: true });
    const held = join(rig.coreDir, "state", "rate-limit.json.lock");
    const holder = spawn("flock", ["--no-fork", held, "sh", "-c", "echo held; exec sleep 300"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    try {
      await once(holder.stdout, "data");
      await Promise.all(Array.from({ length: 12 }, () => rig.run(CORE)));
    } finally {
      holder.kill("SIGKILL");
    }
    const bundles = await rig.bundles();
    expect(bundles).toHaveLength(3);
    const said = { step: "rateLimit", code: "CDH_RATE_LIMIT_INEXACT" };
    for (const { manifest } of bundles) expect(manifest.problems).toContainEqual(expect.objectContaining(said));
    const reasons = logged(rig, "crash not kept").map((line) => line["reason"]);
    expect(reasons).toHaveLength(9);
    expect(new Set(reasons)).toEqual(
      new Set(["rate limit reached, 1 suppressed so far (other composers held the counts all the time)"]),
    );
  }, 60_000);

  it.each([
    { settings: { SIGNAL_EXCLUDE: "SIGQUIT,11" }, reason: "signal excluded" },
    { settings: { COMM_EXCLUDE: "other,crashy" }, reason: "process name excluded" },
  ])("$settings: nothing is left but the reason", async ({ settings, reason }) => {
    await using rig = makeRig();
    rig.env(settings as Record<string, string>);
    expect((await rig.run(CORE)).exitCode).toBe(0);
    expect(rig.spool().filter((name) => name.includes(".zip"))).toEqual([]);
    expect(logged(rig, "crash not kept")).toMatchObject([{ reason }]);
  });

  it("what is unknown drops nothing", async () => {
    await using rig = makeRig();
    rig.env({ NAMESPACE_INCLUDE: "shop", NAMESPACE_EXCLUDE: "bank", POD_SELECTOR_LABEL: "keep=yes" });
    await rig.run(CORE);
    expect((await rig.bundle()).manifest.core.complete).toBe(true);
  });
});

describeUnless(notBuilt("cdc") ?? missingTools("zstd", "flock"), "limits beside the core", () => {
  it("CONCURRENCY: a composer waits in line behind another one, after its first MiB, until TIMEOUT", async () => {
    await using rig = makeRig();
    rig.env({ CONCURRENCY: "1", TIMEOUT: "2" });
    const slots = join(rig.coreDir, "state", "slots");
    mkdirSync(slots, { recursive: true });
    const holder = spawn("flock", [join(slots, "0"), "sh", "-c", "echo held; exec cat"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      await once(holder.stdout, "data");
      expect((await rig.run(CORE, { timeoutMs: 60_000 })).exitCode).toBe(32);
    } finally {
      holder.stdin.end();
      await once(holder, "close");
    }
    expect((await rig.bundle()).manifest.core).toMatchObject({ truncatedBy: "deadline", sizeBytes: MIB });
    // The line is free again.
    await using next = makeRig();
    next.env({ CONCURRENCY: "1", CORE_DIR: rig.coreDir });
    expect((await next.run(CORE)).exitCode).toBe(0);
  });

  it("composer.log is moved aside when it is large, and no more than one is kept", async () => {
    await using rig = makeRig();
    const log = join(rig.hostDir, "composer.log");
    writeFileSync(`${log}.1`, "older\n");
    writeFileSync(log, `{"msg":"${"x".repeat(4 * MIB)}"}\n`);
    await rig.run(CORE);
    await rig.run(CORE, { args: kernelWords({ s: "6" }) });
    expect(statSync(`${log}.1`).size).toBeGreaterThan(4 * MIB);
    expect(statSync(log).size).toBeLessThan(MIB);
    expect(readFileSync(log, "utf8") + readFileSync(`${log}.1`, "utf8")).toContain("bundle published");
    expect(readdirSync(rig.hostDir).filter((name) => name.startsWith("composer.log")).length).toBe(2);
  });

  it("a file of /proc beyond 4 MiB is cut and said to be, and of open files 4096 are listed", async () => {
    await using rig = makeRig();
    const proc = mkdtempSync(join(scratch, "proc-"));
    const pid = String(process.pid);
    mkdirSync(join(proc, pid, "fd"), { recursive: true });
    for (const name of ["stat", "cmdline", "cgroup", "limits"])
      writeFileSync(join(proc, pid, name), readFileSync(join("/proc", pid, name)));
    const status = readFileSync(join("/proc", pid, "status"), "utf8");
    writeFileSync(join(proc, pid, "status"), status.replace(/^CoreDumping:.*$/m, "CoreDumping:\t1"));
    writeFileSync(join(proc, pid, "maps"), "7f00-7f01 r--p 00000000 00:00 0 /x\n".repeat(160_000));
    for (let fd = 0; fd < 5000; fd++) symlinkSync(`/data/file-${fd}`, join(proc, pid, "fd", String(fd)));
    rig.env({ PROC_ROOT: proc, IGNORE_CRIO: "true" });
    await rig.run(CORE, {
      args: kernelWords({ P: pid, p: pid, u: String(process.getuid?.() ?? 0), g: String(process.getgid?.() ?? 0) }),
    });
    const bundle = await rig.bundle();
    expect(bundle.manifest.core.complete).toBe(true);
    expect((await bundle.read("-proc/maps")).length).toBe(4 * MIB);
    expect(bundle.manifest.problems).toContainEqual(
      expect.objectContaining({ code: "CDH_CUT", detail: expect.stringContaining("maps") as string }),
    );
    const files = (await bundle.read("-proc/fds")).toString().trim().split("\n");
    expect(files.slice(-2)).toEqual(["4095 -> /data/file-4095", "… 904 more"]);
    expect(files.length).toBe(4097);
  });
});
