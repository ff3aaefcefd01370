import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { skipAloud } from "../../../../test/helpers/skip.ts";
import { backupPath } from "../node/backup.ts";
import { KERNEL_VALUES, kernelValuePath, type KernelValues } from "../node/kernel-values.ts";
import { desiredFor, makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { leftovers } from "./install.ts";
import { applyInstall, applyRestore } from "./run-plan.ts";
import type { StepResult } from "./steps.ts";

vi.setConfig({ testTimeout: 60_000 });

const nodes: FakeNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) node.remove();
});

function makeNode(values?: Partial<KernelValues>): FakeNode {
  const node = makeFakeNode(values);
  nodes.push(node);
  return node;
}

const OWN = { core_pattern: "/var/cores/%e", core_pipe_limit: "4", suid_dumpable: "1" };
const quiet = { lockTimeoutMs: 1000, after: () => {} };
const configured = { core_pipe_limit: "16", suid_dumpable: "2" };

function install(node: FakeNode, composer?: string): Promise<StepResult[]> {
  return applyInstall(node, desiredFor(node, composer), quiet);
}

function restore(node: FakeNode): ReturnType<typeof applyRestore> {
  return applyRestore(node, { ...quiet, configured });
}

function kernelOf(node: FakeNode): KernelValues {
  return {
    core_pattern: node.kernel("core_pattern"),
    core_pipe_limit: node.kernel("core_pipe_limit"),
    suid_dumpable: node.kernel("suid_dumpable"),
  };
}

function doneIn(steps: readonly StepResult[]): string[] {
  return steps.filter(({ outcome }) => outcome === "done").map(({ id }) => id);
}

describe("install and restore", () => {
  it("does not count as a change what another run makes while it waits for the lock", async () => {
    const node = makeNode(OWN);
    await install(node);
    // Drafts of the lock: of this process, which lives, and of one that was killed.
    writeFileSync(join(node.hostDir, `.cdh-sysctl.lock.${process.pid}.1`), "");
    expect(doneIn(await install(node))).toEqual([]);
    writeFileSync(join(node.hostDir, ".cdh-sysctl.lock.4194305.1"), "");
    expect(doneIn(await install(node))).toEqual(["tidy"]);
    expect(existsSync(join(node.hostDir, ".cdh-sysctl.lock.4194305.1"))).toBe(false);
  });

  it("closes a CORE_DIR that the kubelet made for its volume, and leaves one that is in use as it is", async () => {
    const fresh = makeNode(OWN);
    mkdirSync(fresh.coreDir, { recursive: true, mode: 0o755 });
    expect(doneIn(await install(fresh))).toContain("make-core-dir");
    expect(statSync(fresh.coreDir).mode & 0o7777).toBe(0o700);
    expect(doneIn(await install(fresh))).toEqual([]);

    const used = makeNode(OWN);
    mkdirSync(used.coreDir, { recursive: true, mode: 0o755 });
    writeFileSync(join(used.coreDir, "a.zip"), "");
    expect(doneIn(await install(used))).not.toContain("make-core-dir");
    expect(statSync(used.coreDir).mode & 0o7777).toBe(0o755);
  });

  it("sets the kernel, saves its own values, and gives them back", async () => {
    const node = makeNode(OWN);
    await install(node);
    expect(kernelOf(node)).toEqual(desiredFor(node).values);
    expect(KERNEL_VALUES.map((name) => readFileSync(backupPath(node, name), "utf8"))).toEqual([
      "4",
      "/var/cores/%e",
      "1",
    ]);
    expect(statSync(join(node.hostDir, ".env")).mode & 0o777).toBe(0o600);
    expect(statSync(node.coreDir).mode & 0o777).toBe(0o700);
    const { left, kept } = await restore(node);
    expect({ left, kept }).toEqual({ left: [], kept: [] });
    expect(kernelOf(node)).toEqual(OWN);
    expect(existsSync(node.hostDir)).toBe(false);
    expect((await restore(node)).steps).toEqual([]);
  });

  it("changes nothing the second time, and replaces the composer when it is another", async () => {
    const node = makeNode();
    await install(node);
    const before = statSync(join(node.hostDir, "cdc"));
    expect(doneIn(await install(node))).toEqual([]);
    expect(statSync(join(node.hostDir, "cdc")).ino).toBe(before.ino);
    expect(doneIn(await install(node, node.composer("2")))).toEqual(["stage-composer", "publish-composer", "record"]);
    expect(statSync(join(node.hostDir, "cdc")).ino).not.toBe(before.ino);
  });

  it("saves the node's values once, also when settings change or a reboot comes between", async () => {
    const node = makeNode(OWN);
    await install(node);
    await applyInstall(
      node,
      { ...desiredFor(node), values: { ...desiredFor(node).values, core_pipe_limit: "32" } },
      quiet,
    );
    node.setKernel({ core_pattern: "core", core_pipe_limit: "0", suid_dumpable: "0" });
    await install(node);
    await restore(node);
    expect(kernelOf(node)).toEqual(OWN);
  });

  it("does not set the kernel when the composer fails its self-test, and leaves no half file", async () => {
    const node = makeNode(OWN);
    const broken = join(node.directory, "broken");
    writeFileSync(broken, "#!/bin/sh\necho 'no /proc here' >&2\nexit 3\n", { mode: 0o755 });
    await expect(install(node, broken)).rejects.toMatchObject({
      code: "CDH_ENVIRONMENT",
      message: expect.stringContaining("exit status 3: no /proc here") as string,
    });
    expect(kernelOf(node)).toEqual(OWN);
    expect(existsSync(join(node.hostDir, "cdc"))).toBe(false);
    expect(leftovers(node)).toEqual([]);
  });

  it("takes back the values that it has set when the kernel does not keep one", async () => {
    const node = makeNode(OWN);
    rmSync(kernelValuePath(node.roots, "suid_dumpable"));
    symlinkSync("/dev/null", kernelValuePath(node.roots, "suid_dumpable"));
    await expect(install(node)).rejects.toMatchObject({ code: "CDH_NOT_APPLIED" });
    expect(node.kernel("core_pattern")).toBe(OWN.core_pattern);
    expect(node.kernel("core_pipe_limit")).toBe(OWN.core_pipe_limit);
  });

  it("installs twice at once without harm", async () => {
    const node = makeNode(OWN);
    const results = await Promise.all([install(node), install(node), install(node)]);
    expect(results.filter((steps) => doneIn(steps).includes("publish-composer"))).toHaveLength(1);
    await restore(node);
    expect(kernelOf(node)).toEqual(OWN);
  });
});

describe("a saved value that cannot be one", () => {
  it.each([
    ["empty", ""],
    ["ours", "|/elsewhere/cdc -P=%P -p=%p"],
    ["IBM's", "|/var/mnt/core-dump-handler/cdc -c=%c -e=%e"],
    ["binary", "\u0000\u0001"],
    ["two lines", "core\ncore"],
    ["too long", "x".repeat(128)],
  ])("is replaced by the node's current value: %s", async (_name, content) => {
    const node = makeNode(OWN);
    await install(node);
    await restore(node);
    await install(node);
    node.setKernel(OWN);
    writeFileSync(backupPath(node, "core_pattern"), content);
    await install(node);
    expect(readFileSync(backupPath(node, "core_pattern"), "utf8")).toBe(OWN.core_pattern);
    expect(readFileSync(`${backupPath(node, "core_pattern")}.unusable`, "utf8")).toBe(content);
    await restore(node);
    expect(kernelOf(node)).toEqual(OWN);
  });

  it("gives way to the kernel's default while the kernel holds ours and nothing else is known", async () => {
    const node = makeNode(OWN);
    await install(node);
    for (const name of KERNEL_VALUES) writeFileSync(backupPath(node, name), "");
    const { left } = await restore(node);
    expect(left).toEqual([]);
    // The node of the test is this machine, whose sysctl.d files may know better than the kernel's default.
    expect(node.kernel("core_pattern")).not.toContain(node.hostDir);
    expect(node.kernel("core_pipe_limit")).toMatch(/^\d+$/);
  });

  it("is taken over from the HOST_DIR that held the kernel's line before", async () => {
    const node = makeNode(OWN);
    await install(node);
    const moved: FakeNode = {
      ...node,
      hostDir: join(node.directory, "other"),
      coreDir: join(node.directory, "other", "cores"),
    };
    await install(moved);
    await restore(moved);
    expect(kernelOf(node)).toEqual(OWN);
  });
});

describe("restore", () => {
  it("leaves what somebody else has set, says so, and puts the rest back", async () => {
    const node = makeNode(OWN);
    await install(node);
    node.setKernel({ core_pattern: "|/usr/share/apport/apport -p%p" });
    const { left } = await restore(node);
    expect(left).toEqual([{ what: "kernel.core_pattern", reason: expect.stringContaining("apport") as string }]);
    expect(kernelOf(node)).toEqual({ ...OWN, core_pattern: "|/usr/share/apport/apport -p%p" });
  });

  it("keeps cores", async () => {
    const node = makeNode(OWN);
    await install(node);
    writeFileSync(join(node.coreDir, "a.zip"), "x");
    const { kept } = await restore(node);
    expect(kept).toEqual([{ what: node.coreDir, reason: "1 file in it" }]);
    expect(readFileSync(join(node.coreDir, "a.zip"), "utf8")).toBe("x");
    expect(existsSync(join(node.hostDir, "cdc"))).toBe(false);
    expect(kernelOf(node)).toEqual(OWN);
  });

  it("keeps the composer and what it needs while the kernel still starts it, and finishes later", async (context) => {
    const node = makeNode(OWN);
    await install(node);
    const path = kernelValuePath(node.roots, "core_pattern");
    const line = readFileSync(path, "utf8");
    rmSync(path);
    mkdirSync(path);
    await expect(restore(node)).rejects.toMatchObject({ code: "CDH_ENVIRONMENT" });
    rmSync(path, { recursive: true });
    writeFileSync(path, line);
    // Root may write to every plain file but an immutable one.
    const frozen = spawnSync("chattr", ["+i", path]);
    if (frozen.status !== 0) skipAloud(context, "chattr +i does not work for the temporary directory");
    try {
      const { steps } = await restore(node);
      expect(steps.filter(({ outcome }) => outcome === "failed").map(({ id }) => id)).toEqual([
        "restore-core_pattern",
        "remove-composer",
        "remove-settings",
        "remove-backups",
      ]);
      expect(existsSync(join(node.hostDir, "cdc"))).toBe(true);
      expect(node.kernel("suid_dumpable")).toBe(OWN.suid_dumpable);
    } finally {
      spawnSync("chattr", ["-i", path]);
    }
    await restore(node);
    expect(kernelOf(node)).toEqual(OWN);
    expect(existsSync(node.hostDir)).toBe(false);
  });
});
