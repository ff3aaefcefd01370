import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeCrashProgram } from "../../packages/cdh-sysctl/src/check/crash-program.ts";
import { builtPath, notBuilt, outcomeOf, runBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
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

function bundles(): string[] {
  const cores = join(hostDir, "cores");
  return existsSync(cores) ? readdirSync(cores).filter((name) => name.endsWith(".zip") && !name.startsWith(".")) : [];
}

/** Crash a tiny program and wait until the kernel, and with it the composer, is done. */
async function crash(program: string): Promise<void> {
  const result = await runPath("/bin/sh", ["-c", 'ulimit -c unlimited; exec "$0"', program]);
  expect(result.signal).toBe("SIGSEGV");
}

describeUnless(kernelUnavailable() ?? notBuilt("cdc", "cdh-sysctl"), "cdh-sysctl on the real kernel", () => {
  beforeAll(async () => {
    hold = await holdKernel();
    hold.set(OWN);
    directory = mkdtempSync("/tmp/cdhk-");
    hostDir = join(directory, "h");
  }, 700_000);

  afterAll(async () => {
    await hold.release();
    rmSync(directory, { recursive: true, force: true });
  });

  it("installs, proves capture, and restores exactly what was there", async () => {
    expect(outcomeOf(await sysctl("install"))).toBe("exit 0");
    expect(readKernelSettings()).toMatchObject({ suidDumpable: "2" });
    // From 64 to 128, by this machine's memory.
    expect(Number(readKernelSettings().corePipeLimit)).toBeGreaterThanOrEqual(64);
    const doctor = await sysctl("doctor", "-o", "json");
    expect(outcomeOf(doctor)).toBe("exit 0");
    const { checks } = JSON.parse(doctor.stdout) as { checks: { id: string; outcome: string; finding: string }[] };
    expect(checks.find(({ id }) => id === "capture")).toMatchObject({
      outcome: "ok",
      finding: expect.stringContaining("verified") as string,
    });
    expect(bundles()).toEqual([]);
    expect(outcomeOf(await sysctl("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
    expect(existsSync(hostDir)).toBe(false);
  });

  it("works with the node's root mounted elsewhere, as in a container", async () => {
    const root = join(directory, "host");
    mkdirSync(root);
    const inside = (verb: string): Promise<BuiltResult> =>
      runPath(
        "unshare",
        ["-m", "/bin/sh", "-c", `mount --rbind / ${root} && mount --make-rslave ${root} && exec "$0" "$@"`].concat([
          builtPath("cdh-sysctl"),
          verb,
          "--host-root",
          root,
          "--proc-root",
          join(root, "proc"),
        ]),
        { env: { PATH: process.env["PATH"] ?? "", HOST_DIR: hostDir } },
      );
    expect(outcomeOf(await inside("install"))).toBe("exit 0");
    expect(readKernelSettings().corePattern).toContain(`|${hostDir}/cdc `);
    const doctor = await inside("doctor");
    expect(outcomeOf(doctor)).toBe("exit 0");
    expect(doctor.stdout).toMatch(/✓ capture .*verified/);
    expect(outcomeOf(await inside("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
    expect(existsSync(hostDir)).toBe(false);
  });

  it("tells a core limit from a capture that does not work", async () => {
    expect(outcomeOf(await sysctl("install"))).toBe("exit 0");
    const limited = await runPath(
      "/bin/sh",
      ["-c", 'ulimit -Hc 0; exec "$0" "$@"', builtPath("cdh-sysctl"), "doctor"],
      {
        env: { HOST_DIR: hostDir },
      },
    );
    expect(outcomeOf(limited)).toBe("exit 0");
    expect(limited.stdout).toMatch(/! capture .*cut at the core limit of this shell or container/);
    expect(outcomeOf(await sysctl("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("lets the kernel write plain cores in MODE=file, and proves that too", async () => {
    const args = ["--core-dir", join(directory, "spool")];
    expect(outcomeOf(await sysctl("install", "--mode", "file", ...args))).toBe("exit 0");
    expect(readKernelSettings()).toMatchObject({ corePipeLimit: OWN.corePipeLimit, suidDumpable: "2" });
    const doctor = await sysctl("doctor");
    expect(outcomeOf(doctor)).toBe("exit 0");
    expect(doctor.stdout).toContain("the kernel wrote its core");
    expect(readdirSync(join(directory, "spool", "plain"))).toEqual([]);
    expect(outcomeOf(await sysctl("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("says that capture does not work when the line is somebody else's", async () => {
    expect(outcomeOf(await sysctl("install"))).toBe("exit 0");
    hold.set({ corePattern: "|/bin/false" });
    const doctor = await sysctl("doctor", "--timeout", "1s");
    expect(doctor.exitCode).toBe(17);
    expect(doctor.stdout).toContain("✗ capture does not work");
    hold.set({ corePattern: OWN.corePattern });
    await sysctl("restore");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("upgrades twenty times while two hundred processes crash, and keeps a bundle of every one", async () => {
    const versions = [makeVersion("a"), makeVersion("b")];
    const install = (version: number): Promise<BuiltResult> =>
      sysctl("install", "--composer", versions[version % 2] ?? "", "--set", "RATE_LIMIT=0", "--set", "KEEP_PER_SITE=0");
    expect(outcomeOf(await install(0))).toBe("exit 0");
    const program = join(directory, "tiny");
    writeFileSync(program, makeCrashProgram(process.arch), { mode: 0o700 });
    const upgrading = { done: false };
    const upgrades = (async () => {
      for (let upgrade = 1; upgrade <= 20; upgrade += 1) expect(outcomeOf(await install(upgrade))).toBe("exit 0");
    })().finally(() => {
      upgrading.done = true;
    });
    let crashes = 0;
    // Go on past two hundred as long as the upgrades do: each of them has to meet crashes.
    for (; crashes < 200 || !upgrading.done; crashes += 1) await crash(program);
    await upgrades;
    // Whatever else crashes on this machine meanwhile has a bundle too, and is not counted.
    const kept = (): string[] => bundles().filter((name) => name.includes("-tiny-"));
    await expect.poll(() => kept().length, { timeout: 60_000 }).toBe(crashes);
    for (const name of kept()) {
      const { manifest } = await openBundleFile(join(hostDir, "cores", name));
      expect(manifest.core.complete).toBe(true);
    }
    rmSync(join(hostDir, "cores"), { recursive: true });
    expect(outcomeOf(await sysctl("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
  }, 600_000);

  it("takes the line back while it watches, and leaves it in place on SIGTERM", async () => {
    const watch = startTied(
      builtPath("cdh-sysctl"),
      ["watch", "--interval", "200ms", "--ready-file", join(directory, "ready")],
      {
        env: { HOST_DIR: hostDir, MODE: "" },
      },
    );
    await expect.poll(() => existsSync(join(directory, "ready")), { timeout: 30_000 }).toBe(true);
    const { corePattern } = readKernelSettings();
    expect(corePattern).toContain(`|${hostDir}/cdc `);
    hold.set({ corePattern: "|/usr/share/apport/apport -p%p" });
    await expect.poll(() => readKernelSettings().corePattern, { timeout: 10_000 }).toBe(corePattern);
    expect(watch.output()).toContain('"by":"/usr/share/apport/apport"');
    await watch.stop("TERM");
    expect(readKernelSettings().corePattern).toBe(corePattern);
    expect(watch.output()).toContain("the handler stays in place");
    expect(outcomeOf(await sysctl("restore"))).toBe("exit 0");
    expect(readKernelSettings()).toEqual(OWN);
  });

  it("runs the composer on a root that holds nothing but our files and /proc", async () => {
    const root = join(directory, "root");
    mkdirSync(join(root, "proc"), { recursive: true });
    expect(outcomeOf(await runPath("mount", ["-t", "proc", "proc", join(root, "proc")]))).toBe("exit 0");
    try {
      // The kernel starts handlers on the machine's own root, so the line goes through chroot; everything else is real.
      // It starts them without stdout and stderr, and Bun's runtime then opens /dev/null, which a host always has: here
      // it comes from outside, so that the root really holds nothing else.
      const args = ["--host-root", root, "--host-dir", "/c", "--prove-capture", "false"];
      expect(outcomeOf(await sysctl("install", ...args))).toBe("exit 0");
      expect(readdirSync(root).sort()).toEqual(["c", "proc"]);
      const handler = join(directory, "k");
      writeFileSync(handler, `#!/bin/sh\nexec /usr/sbin/chroot ${root} /c/cdc "$@" >/dev/null 2>&1\n`, { mode: 0o755 });
      hold.set({ corePattern: readKernelSettings().corePattern.replace("|/c/cdc", `|${handler}`) });
      const program = join(directory, "tiny2");
      writeFileSync(program, makeCrashProgram(process.arch), { mode: 0o700 });
      await crash(program);
      const cores = join(root, "c", "cores");
      const published = (): string[] =>
        readdirSync(cores).filter((name) => name.endsWith(".zip") && !name.startsWith("."));
      await expect.poll(() => published().length, { timeout: 30_000 }).toBe(1);
      const { manifest } = await openBundleFile(join(cores, published()[0] ?? ""));
      expect(manifest).toMatchObject({ signal: { number: 11 }, core: { complete: true } });
      hold.set(OWN);
      expect((await sysctl("restore", ...args)).exitCode).toBe(0);
    } finally {
      await runPath("umount", ["-l", join(root, "proc")]);
    }
    expect(readKernelSettings()).toEqual(OWN);
  });
});

/** Make a composer that behaves like the built one, and is another file with other libraries. */
function makeVersion(name: string): string {
  const folder = join(directory, `version-${name}`);
  mkdirSync(join(folder, "lib"), { recursive: true });
  const source = dirname(builtPath("cdc"));
  copyFileSync(join(source, "cdc"), join(folder, "cdc"));
  // Four bytes of flags that neither x64 nor arm64 uses: see elf(5), e_flags.
  const file = openSync(join(folder, "cdc"), "r+");
  writeSync(file, Buffer.from(name), 0, 1, 48);
  closeSync(file);
  if (existsSync(join(source, "lib"))) {
    for (const library of readdirSync(join(source, "lib"))) {
      // Bytes after the end of an ELF file change nothing but its hash.
      const bytes = Buffer.concat([readFileSync(join(source, "lib", library)), Buffer.from(name)]);
      writeFileSync(join(folder, "lib", library), bytes, { mode: 0o755 });
    }
  }
  return join(folder, "cdc");
}
