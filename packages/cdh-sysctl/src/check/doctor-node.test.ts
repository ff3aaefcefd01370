import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { checkClock, checkCrictl, checkRuntimeLimits, checkSelector, checkSelinux } from "./doctor-node.ts";
import type { NodeStatus } from "./node-status.ts";

const nodes: FakeNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) node.remove();
});

function makeNode(): FakeNode {
  const node = makeFakeNode();
  nodes.push(node);
  mkdirSync(node.hostDir);
  return node;
}

function addProcess(node: FakeNode, pid: number, comm: string, soft: string): void {
  const directory = join(node.roots.proc, String(pid));
  mkdirSync(directory);
  writeFileSync(join(directory, "comm"), `${comm}\n`);
  writeFileSync(
    join(directory, "limits"),
    `Limit                     Soft Limit           Hard Limit           Units     \nMax core file size        ${soft}                    unlimited            bytes     \n`,
  );
}

describe("checkRuntimeLimits", () => {
  it("reads what containers inherit from the runtimes that run", () => {
    const node = makeNode();
    expect(checkRuntimeLimits(node)).toMatchObject({ outcome: "skipped" });
    addProcess(node, 1, "systemd", "0");
    addProcess(node, 10, "containerd", "unlimited");
    expect(checkRuntimeLimits(node)).toMatchObject({
      outcome: "ok",
      finding: expect.stringContaining("containerd") as string,
    });
    // Whose child no container is.
    addProcess(node, 12, "kubelet", "0");
    expect(checkRuntimeLimits(node)).toMatchObject({ outcome: "ok" });
    addProcess(node, 11, "crio", "0");
    expect(checkRuntimeLimits(node)).toMatchObject({
      outcome: "warning",
      finding: "no memory will be kept: containers inherit a core limit of 0 (crio 0)",
      advice: expect.stringContaining("composer.rlimitCore=ignore") as string,
    });
    mkdirSync(node.hostDir, { recursive: true });
    writeFileSync(join(node.hostDir, ".env"), "RLIMIT_CORE=ignore\n");
    expect(checkRuntimeLimits(node)).toMatchObject({ outcome: "ok" });
  });
});

describe("checkSelinux", () => {
  it("warns only while it enforces", () => {
    const node = makeNode();
    expect(checkSelinux(node).finding).toBe("no SELinux here");
    mkdirSync(join(node.roots.sys, "fs", "selinux"), { recursive: true });
    for (const [text, outcome] of [
      ["0", "ok"],
      ["1\n", "warning"],
    ] as const) {
      writeFileSync(join(node.roots.sys, "fs", "selinux", "enforce"), text);
      expect(checkSelinux(node).outcome).toBe(outcome);
    }
  });
});

describe("checkClock", () => {
  it("finds a clock that is behind the install", () => {
    const node = makeNode();
    const status = (installedAt: string): NodeStatus => ({ composer: { installedAt } }) as unknown as NodeStatus;
    expect(checkClock(node, status("2020-01-01T00:00:00Z")).outcome).toBe("ok");
    expect(checkClock(node, status("2999-01-01T00:00:00Z")).outcome).toBe("warning");
  });
});

describe("checkCrictl", () => {
  it("connects to the runtime's socket", async () => {
    const node = makeNode();
    const path = join(node.directory, "runtime.sock");
    expect(await checkCrictl(node, `unix://${path}`)).toMatchObject({ outcome: "warning" });
    const server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      expect(await checkCrictl(node, `unix://${path}`)).toMatchObject({ outcome: "ok" });
    } finally {
      server.close();
    }
    expect(await checkCrictl(node, "tcp://1.2.3.4:5")).toMatchObject({ outcome: "skipped" });
    writeFileSync(join(node.hostDir, ".env"), "IGNORE_CRIO=True\n");
    expect(await checkCrictl(node, `unix://${path}`)).toMatchObject({ outcome: "skipped" });
  });
});

describe("checkSelector", () => {
  it("says where the labels of pods are not known", async () => {
    const node = makeNode();
    expect(await checkSelector(node)).toMatchObject({ outcome: "skipped" });
    writeFileSync(join(node.hostDir, ".env"), "POD_SELECTOR_LABEL=keep=yes\n");
    expect(await checkSelector(node)).toMatchObject({
      outcome: "warning",
      finding: expect.stringContaining("keep=yes is not applied on this node: there is no crictl") as string,
    });
    writeFileSync(join(node.hostDir, "crictl"), "#!/bin/sh\n", { mode: 0o755 });
    expect(await checkSelector(node)).toMatchObject({ outcome: "ok" });
  });
});
