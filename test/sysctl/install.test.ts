import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { outcomeOf, runPath, builtPath } from "../helpers/built.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeHost, OWN, sysctlSuiteUnavailable } from "./host.ts";

async function mountTmpfs(path: string, options: string): Promise<AsyncDisposable> {
  mkdirSync(path);
  expect(outcomeOf(await runPath("mount", ["-t", "tmpfs", "-o", options, "none", path]))).toBe("exit 0");
  return { [Symbol.asyncDispose]: async () => void (await runPath("umount", ["-l", path])) };
}

interface Refusal {
  problems: { code: string; message: string }[];
}

describeUnless(sysctlSuiteUnavailable(), "cdh-sysctl install", () => {
  it("shows a plan, and --dry-run changes nothing", async () => {
    using host = makeHost();
    const before = readdirSync(host.directory);
    const result = await host.run(["install", "--dry-run"]);
    expect(outcomeOf(result)).toBe("exit 0");
    expect(result.stdout).toContain("→ set kernel.core_pattern\n    from  /var/own/core.%e\n    to    |");
    expect(result.stdout).toContain("nothing was changed");
    expect(readdirSync(host.directory)).toEqual(before);
    expect(host.values()).toEqual(OWN);
    const { plan } = JSON.parse((await host.run(["install", "--dry-run", "-o", "json"])).stdout) as {
      plan: { id: string; from?: string }[];
    };
    expect(plan.find(({ id }) => id === "set-core_pattern")).toMatchObject({ from: OWN.core_pattern });
  });

  it("says what it does step by step, and the second time that there is nothing to do", async () => {
    using host = makeHost();
    const first = await host.run(["install"]);
    expect(first.stdout).toContain("✓ prove that the composer runs on this node\n");
    expect(first.stdout).toContain("✓ installed: ");
    const second = await host.run(["install"]);
    expect(outcomeOf(second)).toBe("exit 0");
    expect(second.stdout).toContain("✓ nothing to do: everything is installed and set already\n");
    const third = JSON.parse((await host.run(["install", "-o", "json"])).stdout) as { changed: boolean };
    expect(third.changed).toBe(false);
  });

  it("takes the line of a systemd-coredump that is a server on a socket, says that nothing can be handed on, and gives it back", async () => {
    const core_pattern = "@@/run/systemd/coredumpd/kernel";
    using host = makeHost({ core_pattern });
    const result = await host.run(["install"], { env: { COMP_HOST_CRASHES: "chain" } });
    expect(outcomeOf(result)).toBe("exit 0");
    expect(result.stdout).toMatch(/! HOST_CRASHES=chain cannot hand on to a socket .*upload\.systemdCoredump/);
    // As the unit does whenever systemd-coredump restarts.
    host.set({ core_pattern });
    const status = await host.run(["status"]);
    expect(status.exitCode).toBe(17);
    expect(status.stdout).toContain("! systemd-coredump gets the crashes now (/run/systemd/coredumpd/kernel)");
    expect(outcomeOf(await host.run(["install"]))).toBe("exit 0");
    expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
    expect(host.values()).toEqual({ ...OWN, core_pattern });
  });

  it("writes the composer's settings from COMP_*, for root's eyes only", async () => {
    using host = makeHost();
    const env = { COMP_LOG_LEVEL: "Warn", COMP_FILENAME_TEMPLATE: "{uuid};x", COMP_CORE_EVENT_DIR: "/Events" };
    expect(outcomeOf(await host.run(["install", "--set", "COMPRESSION=none"], { env }))).toBe("exit 0");
    const file = join(host.hostDir, ".env");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8").split("\n").sort()).toEqual([
      "",
      "COMPRESSION=none",
      `CORE_DIR=${host.coreDir}`,
      "EVENT_DIRECTORY=/Events",
      String.raw`FILENAME_TEMPLATE={uuid}\;x`,
      "LOG_LEVEL=Warn",
    ]);
  });

  it("lists every problem at once, and changes nothing", async () => {
    using host = makeHost();
    const args = ["install", "--host-dir", `/${"x".repeat(90)}`, "--core-pipe-limit", "0", "--composer", "/none"];
    const result = await host.run([...args, "-o", "json"]);
    expect(result.exitCode).toBe(10);
    expect((JSON.parse(result.stdout) as Refusal).problems.map(({ code }) => code)).toEqual([
      "CDH_CONFIG_INVALID",
      "CDH_PATTERN_TOO_LONG",
      "CDH_NOT_FOUND",
    ]);
    const shown = await host.run(args);
    expect(shown.stderr.match(/^✗ /gm)).toHaveLength(3);
    expect(shown.stderr).toContain("3 problems, nothing was changed");
    expect(host.values()).toEqual(OWN);
  });

  it("refuses without root, with everything else that is wrong", async (context) => {
    const missing = missingTools("setpriv");
    if (missing !== undefined) skipAloud(context, missing);
    using host = makeHost();
    chmodSync(host.directory, 0o755);
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const result = await runPath("setpriv", [...nobody, builtPath("cdh-sysctl"), "install", "-o", "json"], {
      env: { HOST_DIR: host.hostDir, PROC_ROOT: host.proc, COMPOSER: "/none" },
    });
    expect(result.exitCode).toBe(11);
    expect((JSON.parse(result.stdout) as Refusal).problems.map(({ code }) => code)).toEqual([
      "CDH_NOT_ROOT",
      "CDH_PROC_READ_ONLY",
      "CDH_NOT_FOUND",
    ]);
    expect(result.stderr).toContain("(CDH_NOT_ROOT)");
  });

  it("refuses a HOST_DIR that others can write to, one without execution, and a read-only one", async () => {
    using host = makeHost();
    const open = join(host.directory, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    await using _mount1 = await mountTmpfs(join(host.directory, "noexec"), "noexec,mode=755");
    await using _mount2 = await mountTmpfs(join(host.directory, "ro"), "ro,mode=755");
    for (const [name, words] of [
      ["open", "writable for everybody"],
      ["open/below", "writable for everybody"],
      ["noexec", "forbids execution (noexec)"],
      ["ro", "read-only mount"],
    ] as const) {
      const path = join(host.directory, name);
      // The fake /proc has no mountinfo of its own; a container's real one has.
      mkdirSync(join(host.proc, "self"), { recursive: true });
      writeFileSync(join(host.proc, "self", "mountinfo"), readFileSync("/proc/self/mountinfo"));
      const result = await host.run(["install", "--host-dir", path, "--core-dir", join(host.directory, "c")]);
      expect(`${name}: ${result.exitCode}`).toBe(`${name}: 11`);
      expect(result.stderr).toContain(words);
    }
    expect(host.values()).toEqual(OWN);
  });

  it("finds out by the self-test where no mount option tells", async () => {
    using host = makeHost();
    await using _mount3 = await mountTmpfs(join(host.directory, "noexec"), "noexec,mode=755");
    const result = await host.run(["install", "--host-dir", join(host.directory, "noexec")]);
    expect(result.exitCode).toBe(11);
    expect(result.stderr).toContain("permission denied (a mount with noexec, SELinux or AppArmor)");
    expect(readdirSync(join(host.directory, "noexec"))).toEqual(["cores"]);
    expect(host.values()).toEqual(OWN);
  });

  it("refuses a disk without room, and survives one that fills up while it copies", async () => {
    using host = makeHost();
    const small = join(host.directory, "small");
    await using _mount4 = await mountTmpfs(small, "size=6m,mode=755");
    const big = join(host.directory, "big");
    writeFileSync(big, Buffer.concat([Buffer.from("#!/bin/sh\nexit 0\n"), Buffer.alloc(3 * 1024 * 1024)]), {
      mode: 0o755,
    });
    const refused = await host.run(["install", "--host-dir", join(small, "h"), "--composer", big]);
    expect(refused.exitCode).toBe(13);
    expect(refused.stderr).toContain("are needed");
    expect(existsSync(join(small, "h"))).toBe(false);

    writeFileSync(big, "#!/bin/sh\nexit 0\n");
    // Many inodes and no bytes: the check of the room cannot see that.
    await using _mount5 = await mountTmpfs(join(host.directory, "inodes"), "size=64m,nr_inodes=4,mode=755");
    const full = await host.run(["install", "--host-dir", join(host.directory, "inodes", "h"), "--composer", big]);
    expect(`${full.exitCode} ${full.stderr}`).toContain("13 ");
    expect(full.stderr).toContain("no space left on device");
    expect(host.values()).toEqual(OWN);
  });

  it("survives a disk that is full at any step, and goes on when there is room again", async () => {
    using host = makeHost();
    const disk = join(host.directory, "disk");
    await using _mount = await mountTmpfs(disk, "nr_inodes=2,mode=755");
    const args = ["install", "--host-dir", join(disk, "h"), "--deploy-crictl-config"];
    const stages = new Set<string>();
    for (let inodes = 2; ; inodes += 1) {
      expect(outcomeOf(await runPath("mount", ["-o", `remount,nr_inodes=${inodes}`, disk]))).toBe("exit 0");
      const result = await host.run(args);
      if (result.exitCode === 0) break;
      expect(`${result.exitCode} ${result.stderr}`).toMatch(/^13 .*no space left on device \(CDH_DISK\)/);
      stages.add(result.stderr);
      expect(host.values()).toEqual(OWN);
    }
    expect(stages.size).toBeGreaterThan(4);
    expect(outcomeOf(await host.run(["status", "--host-dir", join(disk, "h")]))).toBe("exit 0");
    expect(outcomeOf(await host.run(["restore", "--host-dir", join(disk, "h")]))).toBe("exit 0");
    expect(host.values()).toEqual(OWN);
  });

  it("follows a HOST_DIR behind a link of root's, and tells the kernel where it really is", async () => {
    using host = makeHost();
    mkdirSync(join(host.directory, "real"));
    symlinkSync("real", join(host.directory, "link"));
    const result = await host.run(["install", "--host-dir", join(host.directory, "link", "h")]);
    expect(outcomeOf(result)).toBe("exit 0");
    expect(host.values().core_pattern).toContain(`|${join(host.directory, "real", "h", "cdc")} `);
    expect(outcomeOf(await host.run(["restore", "--host-dir", join(host.directory, "link", "h")]))).toBe("exit 0");
    expect(host.values()).toEqual(OWN);
  });

  it("is safe to start several times at once", async () => {
    using host = makeHost();
    const results = await Promise.all(Array.from({ length: 4 }, () => host.run(["install", "-o", "json"])));
    expect(results.map(outcomeOf)).toEqual(Array.from({ length: 4 }, () => "exit 0"));
    // Each step was done once. HOST_DIR itself is made before the lock, which may then be another's.
    const done = results.flatMap(({ stdout }) =>
      (JSON.parse(stdout) as { steps: { id: string; outcome: string }[] }).steps
        .filter(({ outcome }) => outcome === "done")
        .map(({ id }) => id),
    );
    expect(done).toEqual([...new Set(done)]);
    expect(done).toEqual(expect.arrayContaining(["make-host-dir", "publish-composer", "set-core_pattern"]));
    expect(done).not.toContain("tidy");
    expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
    expect(host.values()).toEqual(OWN);
  });

  it("sets a plain file pattern in MODE=file, and installs nothing", async () => {
    using host = makeHost();
    const cores = join(host.directory, "cores");
    expect(outcomeOf(await host.run(["install", "--mode", "file", "--core-dir", cores]))).toBe("exit 0");
    expect(host.values()).toEqual({
      core_pattern: `${cores}/plain/core.%h.%e.%P.%s.%t.cdh`,
      core_pipe_limit: "7",
      suid_dumpable: "2",
    });
    expect(statSync(cores).mode & 0o7777).toBe(0o711);
    expect(statSync(join(cores, "plain")).mode & 0o7777).toBe(0o1733);
    expect(existsSync(join(host.hostDir, "cdc"))).toBe(false);
    expect(outcomeOf(await host.run(["status"]))).toBe("exit 0");
    expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
    expect(host.values()).toEqual(OWN);
  });

  it("copies crictl and writes its configuration when asked", async () => {
    using host = makeHost();
    const crictl = join(host.directory, "crictl");
    writeFileSync(crictl, "#!/bin/sh\n", { mode: 0o755 });
    const env = { DEPLOY_CRIO_EXE: "true", DEPLOY_CRIO_CONFIG: "true", CRIO_ENDPOINT: "unix:///run/x.sock" };
    expect(outcomeOf(await host.run(["install"], { env }))).toBe("exit 0");
    expect(readFileSync(join(host.hostDir, "crictl"), "utf8")).toBe("#!/bin/sh\n");
    expect(readFileSync(join(host.hostDir, "crictl.yaml"), "utf8")).toContain("runtime-endpoint: unix:///run/x.sock\n");
    expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
    expect(existsSync(host.hostDir)).toBe(false);
  });
});

describeUnless(sysctlSuiteUnavailable(), "cdh-sysctl restore and status", () => {
  it("exits 3 when it leaves a value that is somebody else's, and says which", async () => {
    using host = makeHost();
    await host.run(["install"]);
    host.set({ core_pattern: "|/usr/share/apport/apport -p%p" });
    const status = await host.run(["status"]);
    expect(status.exitCode).toBe(17);
    expect(status.stdout).toContain("! apport gets the crashes now (/usr/share/apport/apport)");
    const restored = await host.run(["restore", "-o", "json"]);
    expect(restored.exitCode).toBe(3);
    expect(JSON.parse(restored.stdout)).toMatchObject({ left: [{ what: "kernel.core_pattern" }] });
    expect(host.values()).toEqual({ ...OWN, core_pattern: "|/usr/share/apport/apport -p%p" });
    expect(outcomeOf(await host.run(["remove"]))).toBe("exit 0");
  });

  it("points to the HOST_DIR whose composer the kernel starts, when it is another", async () => {
    using host = makeHost();
    await host.run(["install"]);
    const elsewhere = ["--host-dir", join(host.directory, "elsewhere")];
    const restored = await host.run(["restore", ...elsewhere]);
    expect(restored.exitCode).toBe(3);
    expect(restored.stdout).toContain(`--host-dir ${host.hostDir}`);
    const status = await host.run(["status", ...elsewhere]);
    expect(status.stdout).toContain("! another core dump handler gets the crashes now");
  });

  it("tells desired, actual and saved values, the composer, and what waits in the spool", async () => {
    using host = makeHost();
    await host.run(["install", "--core-pipe-limit", "9"]);
    writeFileSync(join(host.coreDir, "a.zip"), "12345");
    writeFileSync(join(host.coreDir, ".b.zip.partial"), "1");
    const result = await host.run(["status", "-o", "json"]);
    expect(outcomeOf(result)).toBe("exit 0");
    expect(JSON.parse(result.stdout)).toMatchObject({
      healthy: true,
      capturing: true,
      values: [
        { name: "kernel.core_pipe_limit", desired: "9", actual: "9", backup: "7", drift: false },
        { name: "kernel.core_pattern", backup: OWN.core_pattern, drift: false },
        { name: "fs.suid_dumpable", desired: "2", actual: "2", backup: "1", drift: false },
      ],
      composer: { installed: true, version: "1", intact: true },
      spool: { bundleCount: 1, bundleBytes: 5, partialCount: 1, lastBundle: { name: "a.zip" } },
    });
    expect(outcomeOf(await host.run(["restore"]))).toBe("exit 0");
    expect(readFileSync(join(host.coreDir, "a.zip"), "utf8")).toBe("12345");
  });

  it("notices a composer that was replaced", async () => {
    using host = makeHost();
    await host.run(["install"]);
    writeFileSync(join(host.hostDir, "cdc"), "#!/bin/sh\necho evil\n");
    const result = await host.run(["status"]);
    expect(result.exitCode).toBe(17);
    expect(result.stdout).toContain("is not the file that was installed");
  });
});
