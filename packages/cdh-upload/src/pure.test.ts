import { describe, expect, it } from "vitest";
import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import { Circuit } from "./circuit.ts";
import { faultOf } from "./faults.ts";
import { parseKeyTemplate } from "./object-key.ts";
import { Queue, type QueueItem } from "./queue.ts";
import { parsePlainCoreName, parseSystemdCoreName } from "./sources/core-name.ts";
import { bySchedule, everyInterval } from "./timetable.ts";
import { workloadOf } from "./workload.ts";

function handClock(): Clock & { at: number } {
  const clock = { at: 0, now: () => clock.at, monotonic: () => clock.at, sleep: async () => {} };
  return clock;
}

const VALUES = {
  namespace: "team-a",
  name: "N",
  node: "node-1",
  cluster: "blue",
  pod: "web",
  signal: "SIGSEGV",
  date: "2026-11-21",
};

describe("parseKeyTemplate", () => {
  it.each([
    ["{namespace}/{name}.zip", "team-a/N.zip", "team-a/N.manifest.json"],
    ["{{namespace}}/{{ name }}.zip", "team-a/N.zip", "team-a/N.manifest.json"],
    [
      "x-{cluster}/{node}/{date}/{signal}/{pod}-{name}.zip",
      "x-blue/node-1/2026-11-21/SIGSEGV/web-N.zip",
      "x-blue/node-1/2026-11-21/SIGSEGV/web-N.manifest.json",
    ],
  ])("renders %s", (template, bundleKey, manifestKey) => {
    expect(parseKeyTemplate(template).render(VALUES)).toEqual({ bundleKey, manifestKey });
  });

  it("keeps values inside of their part of the key", () => {
    const { bundleKey } = parseKeyTemplate("{namespace}/{name}.zip").render({
      ...VALUES,
      namespace: "../../etc",
      name: "a/b",
    });
    expect(bundleKey).toBe("__.._etc/a_b.zip");
  });

  it.each(["{name}", "{namespace}.zip", "/{name}.zip", "{nope}/{name}.zip", "{namespace/{name}.zip", ""])(
    "refuses %j",
    (template) => {
      expect(() => parseKeyTemplate(template)).toThrow(CdhError);
    },
  );
});

describe("Circuit", () => {
  it("lets all through, then nobody, then one, then all", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    expect([circuit.tryBegin(), circuit.tryBegin()]).toEqual([true, true]);
    expect(circuit.failed()).toBe(1000);
    // The second of those who had begun together: no longer wait for that.
    expect(circuit.failed()).toBe(1000);
    expect(circuit.failures).toBe(1);
    expect(circuit.tryBegin()).toBe(false);
    clock.at = 1000;
    expect([circuit.tryBegin(), circuit.tryBegin()]).toEqual([true, false]);
    expect(circuit.failed()).toBe(2000);
    clock.at = 3000;
    expect(circuit.tryBegin()).toBe(true);
    expect(circuit.succeeded()).toBe(true);
    expect([circuit.tryBegin(), circuit.tryBegin(), circuit.isOpen]).toEqual([true, true, false]);
    expect(circuit.succeeded()).toBe(false);
  });

  it("asks again when a probe said nothing about the store", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    circuit.failed();
    clock.at = 1000;
    expect(circuit.tryBegin()).toBe(true);
    circuit.undecided();
    expect(circuit.tryBegin()).toBe(true);
  });

  it("waits five minutes at most", () => {
    const clock = handClock();
    const circuit = new Circuit(clock, () => 1);
    let waitMs = 0;
    for (let failure = 0; failure < 40; failure += 1) {
      clock.at += waitMs;
      circuit.tryBegin();
      waitMs = circuit.failed();
    }
    expect(waitMs).toBe(300_000);
  });
});

describe("Queue", () => {
  const item = (name: string, namespace: string, modifiedAt: number): QueueItem => ({
    file: { name, fileName: name, path: name, sizeBytes: 1, modifiedAt, changedAt: modifiedAt },
    namespace,
    notBefore: 0,
    noticedAt: 0,
    failures: 0,
    running: false,
    reported: true,
  });
  const drain = (queue: Queue): string[] => {
    const order: string[] = [];
    for (let next = queue.take(0); next !== undefined; next = queue.take(0)) {
      order.push(next.file.fileName);
      queue.remove(next.file.fileName);
    }
    return order;
  };

  it("lets namespaces take turns, the newest of each first", () => {
    const queue = new Queue();
    for (let index = 0; index < 5; index += 1) queue.add(item(`loud-${index}`, "loud", index));
    queue.add(item("calm-0", "calm", 0));
    queue.add(item("calm-1", "calm", 1));
    expect(drain(queue)).toEqual(["loud-4", "calm-1", "loud-3", "calm-0", "loud-2", "loud-1", "loud-0"]);
  });

  it("gives a second slot to whoever has none", () => {
    const queue = new Queue();
    for (let index = 0; index < 5; index += 1) queue.add(item(`loud-${index}`, "loud", index));
    queue.take(0);
    queue.take(0);
    queue.add(item("calm", "calm", 0));
    expect(queue.take(0)?.file.fileName).toBe("calm");
  });

  it("knows when the next one may begin", () => {
    const queue = new Queue();
    expect(queue.nextMoment()).toBeUndefined();
    queue.add({ ...item("a", "x", 1), notBefore: 500 });
    queue.add({ ...item("b", "x", 2), notBefore: 300 });
    expect(queue.nextMoment()).toBe(300);
    expect(queue.take(299)).toBeUndefined();
    expect(queue.take(300)?.file.fileName).toBe("b");
    expect(queue.nextMoment()).toBe(500);
  });
});

describe("faultOf", () => {
  it.each([
    ["CDH_STORE_DENIED", "store"],
    ["CDH_STORE_UNREACHABLE", "store"],
    ["CDH_STORE", "store"],
    ["CDH_STORE_MISMATCH", "object"],
    ["CDH_STORE_CONFLICT", "bundle"],
    ["CDH_STORE_REFUSED", "bundle"],
    ["CDH_BUNDLE_CUT_SHORT", "bundle"],
    ["CDH_DAMAGED", "bundle"],
    ["CDH_NOT_FOUND", "gone"],
    ["CDH_DISK", "object"],
  ] as const)("blames for %s the %s", (code, fault) => {
    expect(faultOf(new CdhError(code, "x"))).toBe(fault);
  });

  it("never blames a bundle, or the store, for a bug", () => {
    expect(faultOf(new TypeError("x"))).toBe("object");
  });
});

describe("core names", () => {
  it.each([
    [
      "core.sleep.0.0123456789abcdef0123456789abcdef.12.1764000000123456",
      { comm: "sleep", uid: 0, pid: 12, crashedAt: 1_764_000_000_123 },
    ],
    ["core.a\\x2eb\\x20c.1000.0123456789abcdef0123456789abcdef.12.1764000000000000.lz4", { comm: "a.b c", uid: 1000 }],
    ["core.\\xc3\\xbc.0.0123456789abcdef0123456789abcdef.1.1764000000000000.zst", { comm: "ü" }],
  ])("reads systemd's %s", (name, wanted) => expect(parseSystemdCoreName(name)).toMatchObject(wanted));

  it.each([
    "core",
    "core.sleep",
    "core.sleep.0.xyz.12.1764000000123456",
    ".#core.x.0.0123456789abcdef0123456789abcdef.1.1764000000000000",
  ])("does not take %s for systemd's", (name) => expect(parseSystemdCoreName(name)).toBeUndefined());

  it.each([
    ["core", {}],
    ["core.4711", { pid: 4711 }],
    ["core-sleep-1764000000-12-11", { comm: "sleep", crashedAt: 1_764_000_000_000, pid: 12, signal: 11 }],
    ["core-my-app-1764000000-12-6.gz", { comm: "my-app", crashedAt: 1_764_000_000_000, pid: 12, signal: 6 }],
    ["core.sleep.12.1764000000", { comm: "sleep", pid: 12, crashedAt: 1_764_000_000_000 }],
    ["core-anything-else", {}],
    [
      "core.web-7d9f.my.app.4242.11.1764000000.cdh",
      { hostname: "web-7d9f", comm: "my.app", pid: 4242, signal: 11, crashedAt: 1_764_000_000_000 },
    ],
    ["core..app.1.11.1764000000.cdh", {}],
  ])("reads the plain name %s", (name, wanted) => expect(parsePlainCoreName(name)).toEqual(wanted));
});

describe("timetables", () => {
  it("spread intervals by a tenth", () => {
    expect(everyInterval(1000, () => 0).nextDelayMs(0)).toBe(950);
    expect(everyInterval(1000, () => 1).nextDelayMs(0)).toBe(1050);
  });

  it.each([
    ["0 2 * * *", "2026-11-21T01:00:00Z", 3600e3],
    ["*/10 * * * * *", "2026-11-21T01:00:03Z", 7000],
    ["0 0 1 * *", "2026-11-30T23:59:59Z", 1000],
  ])("follow %s", (expression, now, delay) => {
    expect(bySchedule(expression).nextDelayMs(Date.parse(now))).toBe(delay);
  });

  it.each(["every day", "61 * * * *", "0 0 30 2 *", ""])("refuse %j", (expression) => {
    expect(() => bySchedule(expression)).toThrow(CdhError);
  });
});

describe("workloadOf", () => {
  const manifest = (pod: object | undefined, comm = "sleep") =>
    ({ process: { comm }, ...(pod === undefined ? {} : { pod }) }) as Parameters<typeof workloadOf>[0];

  it.each([
    [{ name: "web-6d4cf56db6-x2x9z", owner: { kind: "ReplicaSet", name: "web-6d4cf56db6" } }, "web"],
    [{ name: "web-6d4cf56db6-x2x9z" }, "web"],
    [{ name: "db-0", owner: { kind: "StatefulSet", name: "db" } }, "db"],
    [{ name: "db-0" }, "db-0"],
    [{ name: "nightly-28300000", owner: { kind: "Job", name: "nightly-28300000" } }, "nightly-28300000"],
    [undefined, "sleep"],
  ])("names %j %s", (pod, wanted) => expect(workloadOf(manifest(pod))).toBe(wanted));
});
