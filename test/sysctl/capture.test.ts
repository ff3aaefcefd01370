import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { makeCrashProgram } from "../../packages/cdh-sysctl/src/check/crash-program.ts";
import { builtPath, notBuilt, outcomeOf, runBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { processesOf } from "../helpers/composer-install.ts";
import { freePort } from "../helpers/free-port.ts";
import { holdKernel, kernelUnavailable, readKernelSettings, type KernelHold } from "../helpers/kernel-state.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";

/** Values that no program of ours would choose. */
const OWN = { corePattern: "/tmp/cdh-own.%e", corePipeLimit: "3", suidDumpable: "1" };

let hold: KernelHold;
let directory: string;
let hostDir: string;

function sysctl(...args: string[]): Promise<BuiltResult> {
  return runBuilt("cdh-sysctl", args, {
    env: { PATH: process.env["PATH"] ?? "", HOST_DIR: hostDir },
    timeoutMs: 120_000,
  });
}

/** Run a shell script and then cdh-sysctl, in a mount namespace of its own: the kernel starts handlers in the first one. */
function inOwnMounts(script: string, ...args: string[]): Promise<BuiltResult> {
  const shell = `set -e; mount --make-rprivate /; ${script}; exec "$0" "$@"`;
  return runPath("unshare", ["-m", "/bin/sh", "-c", shell, builtPath("cdh-sysctl"), ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOST_DIR: hostDir },
    timeoutMs: 120_000,
  });
}

async function mount(...args: string[]): Promise<void> {
  expect(outcomeOf(await runPath("mount", args))).toBe("exit 0");
}

function names(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

describeUnless(kernelUnavailable() ?? notBuilt("cdc", "cdh-sysctl"), "healthy means that a crash arrived", () => {
  beforeAll(async () => {
    hold = await holdKernel();
    directory = mkdtempSync("/tmp/cdhk-");
    hostDir = join(directory, "h");
    mkdirSync(hostDir);
  }, 700_000);

  afterEach(async () => {
    hold.set(OWN);
    await runPath("umount", ["-l", hostDir]);
    await sysctl("restore");
    // A composer makes its folders again for what it still holds.
    await vi.waitUntil(() => processesOf(join(hostDir, "cdc")).length === 0, { timeout: 60_000 });
    rmSync(hostDir, { recursive: true, force: true });
    mkdirSync(hostDir);
  });

  afterAll(async () => {
    await hold.release();
    rmSync(directory, { recursive: true, force: true });
  });

  it("proves an install with a crash that counts nowhere", async () => {
    hold.set(OWN);
    const args = ["--set", "HOST_CRASHES=ignore", "--set", "SIGNAL_EXCLUDE=SIGSEGV", "--set", "CORE_EVENTS=true"];
    const installed = await sysctl("install", ...args);
    expect(outcomeOf(installed)).toBe("exit 0");
    expect(installed.stdout).toMatch(/✓ prove that a crash arrives: .*verified/);
    const status = await sysctl("status");
    expect(outcomeOf(status)).toBe("exit 0");
    expect(status.stdout).toMatch(/^capture {4}crashed a test program, its bundle came after \d+ ms .*verified$/m);
    expect(names(join(hostDir, "cores"))).toEqual(["state"]);
    expect(names(join(hostDir, "cores/state/probe")).filter((name) => name.includes(".zip"))).toEqual([]);
    expect(names(join(hostDir, "cores/state/rate-limit"))).toEqual([]);
    expect(names(join(hostDir, "events"))).toEqual([]);
    expect(names(hostDir).filter((name) => name.startsWith("cdhprobe"))).toEqual([]);
    expect(readFileSync(join(hostDir, "composer.log"), "utf8")).toBe("");
  });

  it("takes nothing for a probe that is not the file in HOST_DIR", async () => {
    hold.set(OWN);
    expect(outcomeOf(await sysctl("install"))).toBe("exit 0");
    const name = "cdhprobe0123456";
    const program = join(directory, name);
    writeFileSync(program, makeCrashProgram(process.arch), { mode: 0o755 });
    expect((await runPath(program, [])).signal).toBe("SIGSEGV");
    // Readable by everybody: not what cdh-sysctl makes.
    copyFileSync(program, join(hostDir, name));
    expect((await runPath(join(hostDir, name), [])).signal).toBe("SIGSEGV");
    const kept = (): string[] => names(join(hostDir, "cores")).filter((file) => file.includes(name));
    await expect.poll(() => kept().length, { timeout: 20_000 }).toBe(2);
  });

  it("knows a probe that was killed while it dumped, and counts it nowhere", async () => {
    hold.set(OWN);
    expect(outcomeOf(await sysctl("install"))).toBe("exit 0");
    // The composer comes when the process has gone.
    const late = join(directory, "late");
    writeFileSync(late, `#!/bin/sh\n/bin/sleep 1\nexec ${hostDir}/cdc "$@"\n`, { mode: 0o755 });
    const { corePattern } = readKernelSettings();
    hold.set({ corePattern: corePattern.replace(`|${hostDir}/cdc`, `|${late}`) });
    const arrived = (): string[] => names(join(hostDir, "cores/state/probe")).filter((file) => file.endsWith(".zip"));
    const killed = async (name: string, mode: number): Promise<void> => {
      const program = join(hostDir, name);
      writeFileSync(program, makeCrashProgram(process.arch), { mode });
      expect((await runPath(program, [], { timeoutMs: 300 })).signal).not.toBe("SIGSEGV");
    };
    await killed("cdhprobe0123456", 0o700);
    await expect.poll(() => arrived().length, { timeout: 20_000 }).toBe(1);
    expect(names(join(hostDir, "cores"))).toEqual(["state"]);
    expect(readFileSync(join(hostDir, "composer.log"), "utf8")).toBe("");
    // Whatever others can start is anybody's.
    await killed("cdhprobe0123457", 0o755);
    const kept = (): string[] => names(join(hostDir, "cores")).filter((file) => file.endsWith(".zip"));
    await expect.poll(() => kept().length, { timeout: 20_000 }).toBe(1);
    expect(kept()[0]).toContain("cdhprobe0123457");
  });

  it("takes an install back when the kernel, in its own mounts, may not execute HOST_DIR", async () => {
    hold.set(OWN);
    await mount("-t", "tmpfs", "-o", "size=400m,mode=755,noexec", "tmpfs", hostDir);
    const result = await inOwnMounts(`mount -o remount,bind,exec ${hostDir}`, "install");
    expect(result.exitCode).toBe(11);
    expect(result.stderr).toContain("pipe failed");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("takes an install back on a node that is itself a container", async () => {
    hold.set(OWN);
    const result = await inOwnMounts(`mount -t tmpfs -o size=400m,mode=755 tmpfs ${hostDir}`, "install");
    expect(result.exitCode).toBe(11);
    expect(result.stderr).toMatch(/is this node itself a container/);
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("takes an install back when the kernel starts another program and says nothing", async () => {
    hold.set(OWN);
    // As a kernel with CONFIG_STATIC_USERMODEHELPER does: whatever the line names, something else is started.
    writeFileSync(join(hostDir, "cdc"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const script = `export DOCTOR_TIMEOUT=3s; mount -t tmpfs -o size=400m,mode=755 tmpfs ${hostDir}`;
    const result = await inOwnMounts(script, "install");
    expect(result.exitCode).toBe(11);
    expect(result.stderr).toContain("CONFIG_STATIC_USERMODEHELPER");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("keeps an install that a full node could not prove, and says so", async () => {
    hold.set({ ...OWN, corePipeLimit: "1" });
    // A handler that holds the only place for as long as the install looks.
    const holder = join(directory, "holder");
    writeFileSync(holder, "#!/bin/sh\nsleep 12; cat >/dev/null\n", { mode: 0o755 });
    hold.set({ corePattern: `|${holder}` });
    const program = join(directory, "tiny");
    writeFileSync(program, makeCrashProgram(process.arch), { mode: 0o755 });
    const held = runPath(program, []);
    const holding = async (): Promise<boolean> => (await runPath("pgrep", ["-f", holder])).exitCode === 0;
    await expect.poll(holding, { timeout: 10_000 }).toBe(true);
    hold.set({ corePattern: OWN.corePattern });
    const result = await inOwnMounts("export DOCTOR_TIMEOUT=3s", "install", "--core-pipe-limit", "1");
    expect(result.stdout).toContain("core_pipe_limit was reached");
    expect(result.exitCode).toBe(3);
    expect(readKernelSettings().corePattern).toContain(`|${hostDir}/cdc `);
    await held;
    expect(outcomeOf(await sysctl("status"))).toBe("exit 0");
  }, 60_000);

  it("watches: ill when the kernel can't start the composer any more, well again, and drift ends within two seconds", async () => {
    hold.set(OWN);
    const port = await freePort();
    const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
    await mount("-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", hostDir);
    const watch = startTied(
      "/usr/bin/unshare",
      ["-m", "/bin/sh", "-c", 'mount --make-rprivate /; exec "$0" "$@"', builtPath("cdh-sysctl"), "watch"].concat([
        "--self-test-interval",
        "1s",
        "--metrics-addr",
        `127.0.0.1:${port}`,
      ]),
      { env: { PATH: process.env["PATH"] ?? "", HOST_DIR: hostDir, MODE: "" } },
    );
    try {
      await expect.poll(() => get("/healthz").catch(String), { timeout: 30_000 }).toBe("ok\n");
      const { corePattern } = readKernelSettings();
      hold.set({ corePattern: "|/usr/share/apport/apport -p%p" });
      const drifted = performance.now();
      await expect.poll(() => readKernelSettings().corePattern, { timeout: 10_000, interval: 20 }).toBe(corePattern);
      // WATCH_INTERVAL is ten seconds. On a busy machine the second look may come a little late.
      expect(performance.now() - drifted).toBeLessThan(5_000);
      await mount("-o", "remount,bind,noexec", hostDir);
      await expect.poll(() => get("/healthz"), { timeout: 30_000 }).toContain("pipe failed");
      expect(await get("/metrics")).toMatch(/^cdh_sysctl_kernel_dropped_total\{reason="pipe_failed"\} [1-9]/m);
      expect(await get("/metrics")).toContain("cdh_sysctl_capture_success 0\n");
      await mount("-o", "remount,bind,exec", hostDir);
      await expect.poll(() => get("/healthz"), { timeout: 30_000 }).toBe("ok\n");
      expect(await get("/metrics")).toContain("cdh_sysctl_capture_success 1\n");
    } finally {
      await watch.stop("TERM");
    }
    // Whatever else crashes on this machine meanwhile has a bundle too.
    expect(names(join(hostDir, "cores")).filter((name) => name.includes("cdhprobe"))).toEqual([]);
  }, 120_000);
});
