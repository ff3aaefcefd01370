import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Health } from "@cdh/core/http-server";
import { createLogger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { applyInstall } from "../change/run-plan.ts";
import { desiredFor, makeFakeNode, type FakeNode } from "../testing/fake-node.ts";
import { Lease } from "./lease.ts";
import { declareWatchMetrics } from "./watch-metrics.ts";
import { watchNode, type WatchResult } from "./watch-node.ts";

vi.setConfig({ testTimeout: 60_000 });

const nodes: FakeNode[] = [];
const stops: (() => Promise<WatchResult>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  for (const node of nodes.splice(0)) node.remove();
});

function startWatch(node: FakeNode, composer = node.composer()) {
  const stop = new AbortController();
  const log: Record<string, unknown>[] = [];
  const healths: Health[] = [];
  const metrics = createMetrics();
  const desired = desiredFor(node, composer);
  const logger = createLogger({
    program: "test",
    level: "debug",
    format: "json",
    clock: node.clock,
    write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>),
  });
  const ended = watchNode(node, desired, {
    lockTimeoutMs: 5000,
    intervalMs: 20,
    selfTestIntervalMs: 50,
    // These nodes have no kernel that could start anything; test/sysctl/capture.test.ts proves on the real one.
    proofTimeoutMs: undefined,
    lease: new Lease(node),
    signal: stop.signal,
    logger,
    metrics: declareWatchMetrics(metrics, "1", () => node.clock.now()),
    after: () => {},
    onHealth: (health) => void healths.push(health),
  });
  const end = (): Promise<WatchResult> => {
    stop.abort(new Error("test"));
    return ended;
  };
  stops.push(end);
  return { desired, log, healths, end, rendered: () => metrics.render() };
}

/** Wait for a condition; patiently, because the machine may be busy with other suites. */
function waitFor(condition: () => void): Promise<void> {
  return vi.waitFor(condition, { timeout: 20_000, interval: 10 });
}

function makeNode(): FakeNode {
  const node = makeFakeNode();
  nodes.push(node);
  return node;
}

describe("watchNode", () => {
  it("installs, and puts right what drifts, with the value that was found and how often", async () => {
    const node = makeNode();
    const watch = startWatch(node);
    await waitFor(() => expect(watch.healths.at(-1)?.ok).toBe(true));
    for (const count of [1, 2]) {
      node.setKernel({ core_pattern: "|/usr/share/apport/apport -p%p" });
      await waitFor(() => expect(watch.log.filter(({ msg }) => msg === "put right")).toHaveLength(count));
      expect(node.kernel("core_pattern")).toBe(watch.desired.values.core_pattern);
    }
    expect(
      watch.log.filter(({ msg }) => msg === "drift").map(({ found, by, count }) => ({ found, by, count })),
    ).toEqual([
      { found: "|/usr/share/apport/apport -p%p", by: "/usr/share/apport/apport", count: 1 },
      { found: "|/usr/share/apport/apport -p%p", by: "/usr/share/apport/apport", count: 2 },
    ]);
    expect(watch.rendered()).toContain('cdh_sysctl_drift_total{what="kernel.core_pattern"} 2\n');
    expect(await watch.end()).toEqual({ superseded: false });
    expect(node.kernel("core_pattern")).toBe(watch.desired.values.core_pattern);
  });

  it("brings the composer back at once, also while somebody fights over a kernel value", async () => {
    const node = makeNode();
    const watch = startWatch(node);
    await waitFor(() => expect(watch.healths.at(-1)?.ok).toBe(true));
    for (let fight = 1; fight <= 4; fight += 1) {
      node.setKernel({ core_pipe_limit: "3" });
      await waitFor(() => expect(node.kernel("core_pipe_limit")).toBe("16"));
    }
    rmSync(join(node.hostDir, "cdc"));
    await waitFor(() => expect(watch.log.at(-1)).toMatchObject({ msg: "put right", what: ["cdc"] }));
    expect(watch.log.filter(({ msg }) => msg === "put right").map(({ fighting }) => fighting)).toEqual([
      false,
      false,
      true,
      true,
      false,
    ]);
  });

  it("notices a composer that stops working", async () => {
    const node = makeNode();
    const body = join(node.directory, "ok");
    writeFileSync(body, "");
    const composer = node.composer();
    writeFileSync(composer, `#!/bin/sh\ntest -e ${body}\n`);
    const watch = startWatch(node, composer);
    await waitFor(() => expect(watch.healths.at(-1)?.ok).toBe(true));
    rmSync(body);
    await waitFor(() => expect(watch.healths.at(-1)?.reasons[0]).toContain("cannot run"));
    expect(watch.rendered()).toContain("cdh_sysctl_self_test_success 0\n");
    expect(watch.rendered()).toContain('cdh_sysctl_errors_total{code="CDH_ENVIRONMENT"}');
    writeFileSync(body, "");
    await waitFor(() => expect(watch.healths.at(-1)?.ok).toBe(true));
  });

  it("does not fight a newer install", async () => {
    const node = makeNode();
    const watch = startWatch(node);
    await waitFor(() => expect(watch.healths.at(-1)?.ok).toBe(true));
    const newer = desiredFor(node, node.composer("2"));
    await applyInstall(node, { ...newer, version: "2" }, { lockTimeoutMs: 5000, after: () => {} });
    await waitFor(() =>
      expect(watch.log.map(({ msg }) => msg)).toContain(
        "another cdh-sysctl has installed; this one only watches the composer now",
      ),
    );
    expect(await watch.end()).toEqual({ superseded: true });
    expect(watch.log.filter(({ msg }) => msg === "put right")).toEqual([]);
  });
});
