import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { READ_LIMITS, WRITE_LIMITS } from "@cdh/core/bundle/limits";
import { kernelWords, makeRig, noise, smallCore, type Rig } from "../composer/drive.ts";
import { makeProcRoot } from "../composer/proc-root.ts";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { compileCrashPrograms, compilerUnavailable } from "../helpers/crash-programs.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { HOSTILE_CORES } from "./hostile-cores.ts";

const MIB = 1024 * 1024;

/** What cdc takes of a node at most, whatever crashes. docs/security.md has the figures. */
const MEMORY_MAX = 128 * MIB;

const CORE = smallCore(noise(3 * MIB));
const scratch = scratchDirectory("security-composer");
const unavailable = notBuilt("cdc", "cdh-inspect") ?? missingTools("zstd");

/** The one bundle of a rig, within every limit of writers, and read by every reader of ours without a word. */
async function expectReadable(rig: Rig): Promise<Awaited<ReturnType<Rig["bundle"]>>> {
  const bundle = await rig.bundle();
  const small = bundle.entries.filter(({ name }) => !/\.core(\.zst)?$/.test(name));
  expect(small.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBeLessThanOrEqual(WRITE_LIMITS.smallEntriesBytes);
  expect(bundle.entries.length).toBeLessThanOrEqual(WRITE_LIMITS.entries);
  const manifest = small.find(({ name }) => name.endsWith("-manifest.json"));
  expect(manifest?.sizeBytes).toBeLessThanOrEqual(WRITE_LIMITS.manifest.bytes);
  expect(WRITE_LIMITS.manifest.bytes).toBeLessThan(READ_LIMITS.manifest.bytes);
  expect(outcomeOf(await runBuilt("cdh-inspect", ["verify", bundle.path]))).toBe("exit 0");
  expect(outcomeOf(await runBuilt("cdh-inspect", ["show", bundle.path]))).toBe("exit 0");
  return bundle;
}

describeUnless(unavailable, "a core whose structure is the attack", () => {
  it.each(HOSTILE_CORES)("$title", { timeout: 120_000 }, async ({ title, make }) => {
    await using rig = makeRig();
    const result = await rig.run(make(), { timeoutMs: 100_000 });
    const peak = result.peakRssBytes ?? Number.POSITIVE_INFINITY;
    process.stderr.write(`memory: ${title}: ${(peak / MIB).toFixed(0)} MiB\n`);
    expect(result).toMatchObject({ exitCode: 0, timedOut: false });
    expect(peak).toBeLessThan(MEMORY_MAX);
    const { manifest } = await expectReadable(rig);
    expect(manifest.core).toMatchObject({ complete: true });
    expect(manifest.signal).toMatchObject({ number: 11 });
  });
});

describeUnless(unavailable, "a process that makes everything about it large", () => {
  it("takes no more of the node, and the bundle says what was cut", { timeout: 120_000 }, async () => {
    const proc = mkdtempSync(join(scratch, "proc-"));
    const large = noise(5 * MIB).toString("latin1");
    const args = makeProcRoot(proc, { environ: large });
    const own = join(proc, String(process.pid));
    writeFileSync(join(own, "cmdline"), Buffer.alloc(5 * MIB));
    for (const name of ["maps", "mountinfo", "limits"]) writeFileSync(join(own, name), large);
    const status = readFileSync(join(own, "status"), "utf8");
    const groups = Array.from({ length: 65_536 }, (_, at) => `${4_000_000_000 + at}`).join(" ");
    writeFileSync(join(own, "status"), status.replace(/\nGroups:.*\n/, `\nGroups:\t${groups}\n`));
    for (let fd = 0; fd < 4096; fd += 1) {
      const name = join(own, "fd", String(fd));
      symlinkSync(`/${"\u0001".repeat(1000)}`, name);
    }
    await using rig = makeRig();
    rig.env({ PROC_ROOT: proc, INCLUDE_PROC_INFO: "environ" });
    const result = await rig.run(smallCore(noise(48 * MIB)), { args, timeoutMs: 100_000 });
    const peak = result.peakRssBytes ?? Number.POSITIVE_INFINITY;
    process.stderr.write(`memory: everything of /proc is large: ${(peak / MIB).toFixed(0)} MiB\n`);
    expect(result).toMatchObject({ exitCode: 0, timedOut: false });
    expect(peak).toBeLessThan(MEMORY_MAX);
    const { manifest } = await expectReadable(rig);
    expect(manifest.identity).toMatchObject({ verified: true });
    const cut = manifest.problems.filter(({ code }) => code === "CDH_CUT").map(({ detail }) => detail ?? "");
    expect(cut.join("\n")).toMatch(/maps: the first/);
    expect(cut.join("\n")).toMatch(/cmdline: the first 4096 of/);
  });
});

describeUnless(unavailable, "a composer that would take more than MEMORY_MAX", () => {
  it.each([
    { when: "while the core arrives", bytes: 48 * MIB },
    { when: "once the crashed process was let go", bytes: 6 * MIB },
  ])("publishes what it has written instead, $when", { timeout: 120_000 }, async ({ bytes }) => {
    await using rig = makeRig();
    // Less than it takes with any core, so that it is reached as surely as by a fault that nobody knows of.
    // What is compressed after the release takes longer than the first look.
    rig.env({ MEMORY_MAX: "48M", COMPRESSION_LEVEL: "19" });
    const core = smallCore(noise(bytes));
    // Slowly, as from a process of gigabytes: the watch begins after a quarter of a second.
    const slow = Readable.from(
      (async function* () {
        for (let at = 0; at < core.length; at += MIB) {
          yield core.subarray(at, at + MIB);
          await new Promise((resolve) => setTimeout(resolve, bytes > 12 * MIB ? 20 : 0));
        }
      })(),
    );
    const result = await rig.run(slow, { timeoutMs: 60_000 });
    expect(result).toMatchObject({ exitCode: 3, timedOut: false });
    expect(rig.logText()).toContain("memory limit reached");
    const { manifest } = await rig.bundle();
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_SALVAGED" }));
    expect(manifest.process.comm).toBe("crashy");
    expect(rig.spool().filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  it("is not disturbed below it", async () => {
    await using rig = makeRig();
    expect((await rig.run(CORE)).exitCode).toBe(0);
    expect((await rig.bundle()).manifest.problems.filter(({ code }) => code === "CDH_SALVAGED")).toEqual([]);
    expect(rig.logText()).not.toContain("memory limit");
  });
});

/** Line separators of every kind, as far as a name of 15 bytes has room for one. */
const SEPARATORS = ["\r", "\v", "\f", "\u0085", "\u2028", "\u2029", "\n", String.raw`\n`, " ", "\t"];

describeUnless(unavailable ?? compilerUnavailable(), "a process that only has the pid of the crashed one", () => {
  it.each(SEPARATORS)("is not believed under a name that breaks its line with %j", async (separator) => {
    const name = `${separator}CoreDumping:\t1`.slice(0, 15);
    const impostor = spawn(compileCrashPrograms()["rename-self"], [name], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(impostor.stdout, "data");
      await using rig = makeRig();
      rig.env({ INCLUDE_PROC_INFO: "environ" });
      const ids = { u: String(process.getuid?.() ?? 0), g: String(process.getgid?.() ?? 0) };
      const now = String(Math.floor(Date.now() / 1000));
      // As before Linux 6.16: the kernel gives no pidfd, and the status decides.
      const args = kernelWords({ P: String(impostor.pid), p: "1", i: String(impostor.pid), t: now, ...ids, F: "" });
      expect((await rig.run(CORE, { args })).exitCode).toBe(0);
      const { manifest, entries } = await rig.bundle();
      expect(manifest.identity).toEqual({ source: "none", verified: false });
      expect(manifest.process).not.toHaveProperty("cmdline");
      expect(entries.filter((entry) => entry.name.includes("-proc/"))).toEqual([]);
      expect(manifest.problems).toContainEqual(
        expect.objectContaining({ code: "CDH_PROCESS_DOUBTFUL", detail: "the process is not dumping core" }),
      );
    } finally {
      impostor.kill("SIGKILL");
    }
  });

  it.each(SEPARATORS)("does not steer with %j and the ids of another", async (separator) => {
    await using rig = makeRig();
    const proc = mkdtempSync(join(scratch, "proc-"));
    const args = makeProcRoot(proc).filter((word) => !word.startsWith("-u="));
    const path = join(proc, String(process.pid), "status");
    // The kernel escapes newlines and backslashes in a name, and nothing else.
    const name = `x${separator}Uid:\t4242\t4242`.replaceAll("\\", "\\\\").replaceAll("\n", String.raw`\n`);
    writeFileSync(path, readFileSync(path, "utf8").replace(/^Name:\t[^\n]*/, `Name:\t${name}`));
    rig.env({ PROC_ROOT: proc });
    await rig.run(CORE, { args: ["-u=4242", ...args] });
    const { manifest } = await rig.bundle();
    expect(manifest.identity).toEqual({ source: "none", verified: false });
  });
});

describeUnless(unavailable, "a process in a cgroup that it made itself", () => {
  it.each([
    "user.slice/user-1000.slice/user@1000.service/app.slice",
    `docker/${"f".repeat(64)}`,
    "lxc.payload.web",
    "system.slice/ci-runner.service",
  ])("names no pod below /%s", async (place) => {
    await using rig = makeRig();
    const proc = mkdtempSync(join(scratch, "proc-"));
    const uid = "3b0a5d2e_8f4c_4f3b_9a57_0c6a1f6e2d11";
    const scope = `cri-containerd-${"a".repeat(64)}.scope`;
    const args = makeProcRoot(proc, { cgroup: `0::/${place}/kubepods-besteffort-pod${uid}.slice/${scope}\n` });
    rig.env({ PROC_ROOT: proc });
    await rig.run(CORE, { args });
    const { manifest } = await rig.bundle();
    expect(manifest.identity).toEqual({ source: "none", verified: false });
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_CGROUP_FOREIGN" }));
  });

  it("does not lose a name with braces to the file-name template", async () => {
    await using rig = makeRig();
    await rig.run(CORE, { args: kernelWords({ e: "a{b}" }) });
    const { manifest } = await rig.bundle();
    expect(manifest.bundle).toContain("-a{b}-");
    expect(manifest.problems.filter(({ step }) => step === "name")).toEqual([]);
  });
});
