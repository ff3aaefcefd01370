import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CRICTL_SEARCH_PATH } from "@cdh/core/container/crictl";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeRig, noise, smallCore, type Rig } from "./drive.ts";
import { containerCgroup, makeProcRoot } from "./proc-root.ts";

const MIB = 1024 * 1024;
const CORE = smallCore(noise(3 * MIB));
const CONTAINER = "ab".repeat(32);
const scratch = scratchDirectory("runtime");

/** The machine's own would be found first. */
const found = CRICTL_SEARCH_PATH.find((directory) => existsSync(join(directory, "crictl")));
const hasOwn = found === undefined ? undefined : `${found}/crictl is somebody's here`;

/** Let the process be a container's, and give the composer this crictl. @returns the kernel's words */
function prepare(rig: Rig, script: string, settings: Record<string, string> = {}): string[] {
  const proc = mkdtempSync(join(scratch, "proc-"));
  rig.env({ PROC_ROOT: proc, ...settings });
  writeFileSync(join(rig.hostDir, "crictl"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return makeProcRoot(proc, { cgroup: containerCgroup(CONTAINER) });
}

const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describeUnless(notBuilt("cdc") ?? missingTools("zstd") ?? hasOwn, "a container runtime that is in the way", () => {
  it("crictl that answers 200 MB: the answer is not used, the memory stays small, the core is whole", async () => {
    await using rig = makeRig();
    const args = prepare(rig, "exec head -c 209715200 /dev/zero", { METADATA_TIMEOUT: "20" });
    const result = await rig.run(CORE, { args });
    expect(result.exitCode).toBe(0);
    expect(result.peakRssBytes).toBeLessThan(128 * MIB);
    const { manifest } = await rig.bundle();
    expect(manifest).toMatchObject({ core: { complete: true }, container: { id: CONTAINER } });
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_CRICTL_TOO_LONG" }));
  });

  it("crictl that hangs, with a child: killed with it at METADATA_TIMEOUT; by then the priority is lowered", async () => {
    await using rig = makeRig();
    const [pids, niceness] = [join(rig.hostDir, "pids"), join(rig.hostDir, "nice")];
    const script = `sleep 600 & echo $$ $! >>${pids}; while :; do cut -d' ' -f19 /proc/$PPID/stat >>${niceness}; sleep 0.1; done`;
    const result = await rig.run(CORE, { args: prepare(rig, script, { METADATA_TIMEOUT: "4" }), timeoutMs: 30_000 });
    expect(result).toMatchObject({ exitCode: 0, timedOut: false });
    const { manifest } = await rig.bundle();
    expect(manifest.core.complete).toBe(true);
    expect(manifest.composer.durationMs).toBeLessThan(15_000);
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_CRICTL_TIMEOUT" }));
    const started = readFileSync(pids, "utf8").trim().split(/\s+/).map(Number);
    expect(started.length).toBeGreaterThanOrEqual(2);
    await expect.poll(() => started.filter(isAlive)).toEqual([]);
    // The identity was asked for while the process was held, so the first looks saw the old one.
    expect(readFileSync(niceness, "utf8").trim().split("\n").at(-1)).toBe("10");
  });

  it.each([
    { title: "fails", script: "echo 'level=fatal msg=\"no runtime\"' >&2; exit 1", code: "CDH_CRICTL_FAILED" },
    { title: "is killed", script: "kill -9 $$", code: "CDH_CRICTL_FAILED" },
    { title: "answers no JSON", script: "echo 'W0101 no json'", code: "CDH_CRICTL_ANSWER" },
    { title: "answers about another container", script: 'echo \'{"status":{"id":"x"}}\'', code: "CDH_CRICTL_ANSWER" },
  ])("crictl that $title costs no byte of the core", async ({ script, code }) => {
    await using rig = makeRig();
    expect((await rig.run(CORE, { args: prepare(rig, script) })).exitCode).toBe(0);
    const { manifest } = await rig.bundle();
    expect(manifest).toMatchObject({
      core: { complete: true },
      identity: { source: "none" },
      container: { id: CONTAINER },
    });
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code }));
  });

  it("crictl that warns on stderr and answers an array is understood", async () => {
    await using rig = makeRig();
    const answer = {
      status: {
        id: CONTAINER,
        metadata: { name: "server" },
        labels: {
          "io.kubernetes.pod.name": "web-0",
          "io.kubernetes.pod.namespace": "shop",
          "io.kubernetes.pod.uid": "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
          "io.kubernetes.container.name": "server",
        },
      },
      info: { sandboxID: "cd".repeat(32) },
    };
    const script = `echo 'time="x" level=warning msg="runtime connect using default endpoints"' >&2\n[ "$1" = inspect ] || exit 1\ncat <<'E'\n${JSON.stringify([answer])}\nE`;
    expect((await rig.run(CORE, { args: prepare(rig, script) })).exitCode).toBe(0);
    expect((await rig.bundle()).manifest).toMatchObject({
      identity: { source: "crictl", verified: true },
      pod: { name: "web-0", namespace: "shop" },
      container: { name: "server" },
    });
  });
});

const STATE = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";

describeUnless(notBuilt("cdc") ?? missingTools("zstd") ?? hasOwn, "a node without crictl", () => {
  /** Let containerd's own record say whose container it is. */
  function makeRecord(): Disposable {
    const directory = join(STATE, CONTAINER);
    mkdirSync(directory, { recursive: true });
    const annotations = {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.container-name": "server",
      "io.kubernetes.cri.sandbox-name": "web-0",
      "io.kubernetes.cri.sandbox-namespace": "shop",
      "io.kubernetes.cri.sandbox-uid": "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
      "io.kubernetes.cri.sandbox-id": "cd".repeat(32),
    };
    writeFileSync(join(directory, "config.json"), JSON.stringify({ annotations }));
    return { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  }

  it.each([
    { title: "has nothing to complain about", settings: {}, codes: [] },
    {
      title: "keeps what POD_SELECTOR_LABEL cannot be asked of, and marks it",
      settings: { POD_SELECTOR_LABEL: "coredump=yes" },
      codes: ["CDH_SELECTOR_UNKNOWN"],
    },
  ])("$title", async ({ settings, codes }) => {
    await using rig = makeRig();
    using _record = makeRecord();
    const args = prepare(rig, "", settings);
    rmSync(join(rig.hostDir, "crictl"));
    expect((await rig.run(CORE, { args })).exitCode).toBe(0);
    const { manifest } = await rig.bundle();
    expect(manifest).toMatchObject({ identity: { verified: true }, pod: { name: "web-0", namespace: "shop" } });
    const said = manifest.problems.filter(({ step }) => ["crictl", "selector", "labels"].includes(step));
    expect(said.map(({ code }) => code)).toEqual(codes);
  });
});

const [LOGS, LINKS] = ["/var/log/pods", "/var/log/containers"];
const taken = [LOGS, LINKS].find((path) => existsSync(path));
const cannotLog =
  process.getuid?.() !== 0
    ? `${LOGS} is root's`
    : taken === undefined
      ? missingTools("mkfifo")
      : `${taken} is somebody's here`;

describeUnless(notBuilt("cdc") ?? missingTools("zstd") ?? hasOwn ?? cannotLog, "a container's own log folder", () => {
  it("with a fifo, links and a folder in place of logs: nothing is waited for, nothing is followed", async () => {
    const uid = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
    const pod = join(LOGS, `shop_web-0_${uid}`);
    const link = join(LINKS, `web-0_shop_server-${CONTAINER}.log`);
    const secret = join(scratch, "secret");
    writeFileSync(secret, "2026-01-01T00:00:00.0Z stdout F root-only\n");
    try {
      mkdirSync(join(pod, "server"), { recursive: true });
      mkdirSync(LINKS, { recursive: true });
      symlinkSync(join(pod, "server/1.log"), link);
      expect(spawnSync("mkfifo", [join(pod, "server/1.log")]).status).toBe(0);
      symlinkSync(secret, join(pod, "server/1.log.20260101-000000"));
      mkdirSync(join(pod, "server/1.log.20260101-000001"));
      writeFileSync(join(pod, "server/0.log"), "2026-01-01T00:00:00.0Z stdout F its own words\n");
      await using rig = makeRig();
      const args = prepare(rig, "exit 1", { METADATA_TIMEOUT: "20" });
      const result = await rig.run(CORE, { args, timeoutMs: 30_000 });
      expect(result).toMatchObject({ exitCode: 0, timedOut: false });
      expect(result.durationMs).toBeLessThan(15_000);
      const { manifest, path, read } = await rig.bundle();
      expect((await read("-0.log")).toString()).toBe("its own words\n");
      expect(manifest).toMatchObject({
        core: { complete: true },
        identity: { source: "kubelet", verified: true },
        pod: { name: "web-0", namespace: "shop" },
      });
      expect(readFileSync(path).includes("root-only")).toBe(false);
    } finally {
      for (const path of [pod, link]) rmSync(path, { recursive: true, force: true });
      // Empty by now, unless somebody else has begun to use them.
      for (const path of [LOGS, LINKS]) spawnSync("rmdir", [path]);
    }
  });

  it.each([
    { title: "the program's last words, far above the lines that are kept", settings: {}, said: true },
    { title: "nothing of them with MESSAGE=off", settings: { MESSAGE: "off" }, said: false },
  ])("tells $title", async ({ settings, said }) => {
    const uid = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
    const pod = join(LOGS, `shop_web-0_${uid}`);
    const link = join(LINKS, `web-0_shop_server-${CONTAINER}.log`);
    const line = (text: string, secondsAgo = 0): string =>
      `${new Date(Date.now() - secondsAgo * 1000).toISOString()} stderr F ${text}\n`;
    const log = [
      line("panic: an older one", 600),
      line("fatal error: all goroutines are asleep - deadlock!"),
      line("[more of it]\u001b[2J"),
      line(""),
      ...Array.from({ length: 10_000 }, (_, index) => line(`goroutine ${index} [chan receive]:`)),
    ];
    try {
      mkdirSync(join(pod, "server"), { recursive: true });
      mkdirSync(LINKS, { recursive: true });
      symlinkSync(join(pod, "server/1.log"), link);
      // The start before this one ended by something else.
      writeFileSync(join(pod, "server/0.log"), line("panic: of the start before"));
      writeFileSync(join(pod, "server/1.log"), log.join(""));
      await using rig = makeRig();
      const words = prepare(rig, "exit 1", settings).map((word) => (word === "-s=11" ? "-s=6" : word));
      expect((await rig.run(CORE, { args: words, timeoutMs: 30_000 })).exitCode).toBe(0);
      const { manifest, read } = await rig.bundle();
      expect((await read("-0.log")).toString()).not.toContain("deadlock");
      expect(manifest.message).toEqual(
        said
          ? {
              kind: "fatal",
              text: "fatal error: all goroutines are asleep - deadlock!",
              more: ["[more of it]"],
              source: "log",
            }
          : undefined,
      );
    } finally {
      for (const path of [pod, link]) rmSync(path, { recursive: true, force: true });
      for (const path of [LOGS, LINKS]) spawnSync("rmdir", [path]);
    }
  });
});
