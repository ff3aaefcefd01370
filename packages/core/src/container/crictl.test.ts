import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeNode, readRecorded } from "../testing/fake-node.ts";
import type { Collected } from "./collected.ts";
import { parseTime, readContainer, readPod } from "./crictl-facts.ts";
import { Crictl, findCrictl } from "./crictl.ts";

let node: FakeNode;

beforeEach(async () => {
  node = await FakeNode.create();
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

async function fake(body: string, options: { timeoutMs?: number; maxOutputBytes?: number } = {}): Promise<Crictl> {
  await node.program("/bin/crictl", body);
  return new Crictl(node.path("/bin/crictl"), [], { PATH: "/bin:/usr/bin" }, options);
}

function codeOf(answer: Collected<unknown>): string | undefined {
  return "missing" in answer ? answer.missing : undefined;
}

/** Wait until no process has this text in its command line. */
async function processesWith(text: string): Promise<string[]> {
  const { readdir } = await import("node:fs/promises");
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const cmdline = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (cmdline.includes(text)) found.push(pid);
  }
  return found;
}

describe("an answer", () => {
  it("counts by its exit status, whatever is on stderr", async () => {
    await node.write("/warning.txt", await readRecorded("containerd-1.6/warning.txt"));
    await node.write("/pods.json", await readRecorded("containerd-1.6/pods.json"));
    const crictl = await fake(`cat ${node.path("/warning.txt")} >&2; cat ${node.path("/pods.json")}`);
    expect(await crictl.podsByName("web-0")).toEqual({ value: [expect.any(Object), expect.any(Object)] });
    const failing = await fake(`cat ${node.path("/pods.json")}; echo "no such thing" >&2; exit 1`);
    expect(await failing.podsByName("web-0")).toEqual({
      missing: "CDH_CRICTL_FAILED",
      detail: "crictl pods: exit status 1: no such thing",
    });
  });

  it("may be an object or an array", async () => {
    expect(await (await fake("echo '[{\"status\":{}}]'")).inspectPod("x")).toEqual({ value: { status: {} } });
    expect(await (await fake("echo '{\"status\":{}}'")).inspectPod("x")).toEqual({ value: { status: {} } });
    expect(await (await fake("echo '[{\"id\":1}]'")).images()).toEqual({ value: [{ id: 1 }] });
    expect(await (await fake("echo '{\"images\":null}'")).images()).toEqual({ value: [] });
  });

  it.each(["", "not json", "{", '"text"', "null", "5"])("of %j is no answer", async (text) => {
    expect(codeOf(await (await fake(`printf %s '${text}'`)).inspectPod("x"))).toBe("CDH_CRICTL_ANSWER");
  });

  it("is asked for once, and again after a failure", async () => {
    const count = node.path("/count");
    const crictl = await fake(`echo x >>${count}; [ "$1" = inspectp ] && echo '{}' || exit 1`);
    await Promise.all([crictl.inspectPod("a"), crictl.inspectPod("a")]);
    await crictl.inspectPod("a");
    expect(await readFile(count, "utf8")).toBe("x\n");
    await crictl.inspectContainer("a");
    await crictl.inspectContainer("a");
    expect(await readFile(count, "utf8")).toBe("x\nx\nx\n");
  });

  it("of 200 MB is cut, and nothing is left running", async () => {
    const crictl = await fake("exec head -c 200000000 /dev/zero", { timeoutMs: 20_000, maxOutputBytes: 1_000_000 });
    const before = process.memoryUsage().rss;
    expect(codeOf(await crictl.images())).toBe("CDH_CRICTL_TOO_LONG");
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  });

  it("that never comes ends at the deadline, with its children", async () => {
    const mark = `cdh-hang-${process.pid}`;
    await node.program(`/${mark}`, "sleep 300");
    const crictl = await fake(`${node.path(`/${mark}`)} & ${node.path(`/${mark}`)}`, { timeoutMs: 300 });
    const started = performance.now();
    expect(codeOf(await crictl.images())).toBe("CDH_CRICTL_TIMEOUT");
    expect(performance.now() - started).toBeLessThan(3000);
    await expect.poll(async () => await processesWith(mark), { timeout: 3000 }).toEqual([]);
  });

  it("of a crictl that is no program is a miss", async () => {
    await node.write("/bin/crictl", "");
    expect(codeOf(await new Crictl(node.path("/bin/crictl"), [], {}).images())).toBe("CDH_CRICTL_NOT_STARTED");
  });
});

describe("the command line", () => {
  it("is IBM's, and what a host name holds of a pattern stands for itself", async () => {
    const crictl = await fake(`for word in "$@"; do printf '<%s>' "$word"; done; echo; exit 1`);
    const seen = async (answer: Promise<Collected<unknown>>): Promise<void> => {
      await answer;
    };
    await seen(crictl.inspectPod("id"));
    await node.program(
      "/bin/crictl",
      `for word in "$@"; do printf '<%s>' "$word" >>${node.path("/seen")}; done; echo >>${node.path("/seen")}; echo '{}'`,
    );
    for (const ask of [
      () => crictl.podsByName("web.0-x"),
      () => crictl.podById("p"),
      () => crictl.inspectPod("p"),
      () => crictl.containersOf("p"),
      () => crictl.inspectContainer("c"),
      () => crictl.images(),
      () => crictl.logs("c", 500),
    ])
      await ask();
    expect((await readFile(node.path("/seen"), "utf8")).split("\n")).toEqual([
      "<pods><--name=web\\.0-x><-o><json>",
      "<pods><--id><p><-o><json>",
      "<inspectp><p>",
      "<ps><-o><json><-p><p>",
      "<inspect><c>",
      "<images><-o><json>",
      "<logs><--tail=500><c>",
      "",
    ]);
  });
});

describe("findCrictl", () => {
  const show =
    'echo "{\\"args\\":\\"$*\\",\\"endpoint\\":\\"$CONTAINER_RUNTIME_ENDPOINT\\",\\"home\\":\\"$HOME\\",\\"secret\\":\\"$CDH_SECRET\\"}"';

  async function ask(options: { useConfig?: boolean } = {}): Promise<unknown> {
    const found = await findCrictl({ roots: node.roots, exeDir: node.path("/opt/cdh"), ...options });
    if ("missing" in found) return found.missing;
    const answer = await found.value.inspectPod("p");
    return "value" in answer ? { file: found.value.file.slice(node.root.length), ...answer.value } : answer;
  }

  it("prefers the host's crictl to our own, which is the last resort", async () => {
    expect(await ask()).toBe("CDH_CRICTL_NOT_FOUND");
    await node.program("/opt/cdh/crictl", show);
    expect(await ask()).toMatchObject({ file: "/opt/cdh/crictl" });
    await node.program("/home/kubernetes/bin/crictl", show);
    expect(await ask()).toMatchObject({ file: "/home/kubernetes/bin/crictl" });
    await node.program("/usr/bin/crictl", show);
    await node.write("/bin/crictl", "not executable");
    await mkdir(node.path("/sbin/crictl"), { recursive: true });
    expect(await ask()).toMatchObject({ file: "/usr/bin/crictl" });
  });

  it("gives it the first socket that exists, unless the machine has settings of its own", async () => {
    await node.program("/usr/bin/crictl", show);
    expect(await ask()).toMatchObject({ endpoint: "" });
    const path = node.path("/run/k3s/containerd/containerd.sock");
    await node.write("/run/containerd/containerd.sock", "a file, no socket");
    await mkdir(join(path, ".."), { recursive: true });
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      expect(await ask()).toMatchObject({ endpoint: `unix://${path}`, args: "inspectp p", home: "/", secret: "" });
      await node.write("/etc/crictl.yaml", "runtime-endpoint: unix:///x\n");
      expect(await ask()).toMatchObject({ endpoint: "" });
      await node.write("/opt/cdh/crictl.yaml", "runtime-endpoint: unix:///y\n");
      expect(await ask({ useConfig: true })).toMatchObject({
        args: `-c ${node.path("/opt/cdh/crictl.yaml")} inspectp p`,
        endpoint: "",
      });
      expect(await ask()).toMatchObject({ args: "inspectp p" });
    } finally {
      server.close();
    }
  });
});

describe("what crictl says", () => {
  it("is read in both shapes", async () => {
    const pods = JSON.parse(await readRecorded("containerd-1.6/pods.json")) as { items: Record<string, unknown>[] };
    const inspectp = JSON.parse(await readRecorded("containerd-1.6/inspectp.json")) as Record<string, unknown>;
    const listed = readPod(pods.items[1] ?? {});
    expect(listed).toMatchObject({
      name: "web-0",
      namespace: "shop",
      state: "SANDBOX_READY",
      labels: { app: "web", "info.coredump.owner": "team-a" },
      owner: { kind: "StatefulSet", name: "web" },
    });
    const { createdAtMs, ...rest } = readPod(inspectp);
    expect({ ...rest, createdAtMs: Math.floor(createdAtMs ?? 0) }).toEqual({
      ...listed,
      createdAtMs: Math.floor(listed.createdAtMs ?? 0),
    });
    const ps = JSON.parse(await readRecorded("containerd-1.6/ps.json")) as { containers: Record<string, unknown>[] };
    const inspect = readContainer(
      JSON.parse(await readRecorded("containerd-1.6/inspect.json")) as Record<string, unknown>,
    );
    const entry = readContainer(ps.containers.find((container) => container["id"] === inspect.id) ?? {});
    expect(inspect).toMatchObject(entry);
    expect(inspect).toMatchObject({
      name: "server",
      restartCount: 2,
      imageRef: "cdh.test/crasher:1.2",
      pod: { name: "web-0", namespace: "shop" },
    });
  });

  it.each([
    ["1641576807113069234", 1641576807113.0693],
    [1641576807113000000, 1641576807113],
    ["2022-01-07T17:33:27.113069234Z", 1641576807113],
    ["2022-01-07T11:33:27.113-06:00", 1641576807113],
    ["0", undefined],
    ["0001-01-01T00:00:00Z", undefined],
    ["soon", undefined],
    [null, undefined],
  ])("has times such as %j", (value, expected) => {
    expect(parseTime(value)).toEqual(expected);
  });
});
