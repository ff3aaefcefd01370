import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { expectSoon, putDump, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-group-events");

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "Events of bugs that are new in a version", () => {
  let bench: Workbench;
  let other: Workbench;
  const crash = (
    tag: string,
    { ago = 0, ...changes }: { ago?: number } & Parameters<typeof putDump>[1] = {},
  ): ReturnType<typeof putDump> => {
    const { namespace = "shop" } = changes;
    const container: Manifest["container"] = { id: "c0ffee", name: "app", imageRef: `registry.example/shop:${tag}` };
    const owner = { kind: "Deployment", name: "web" };
    return putDump(bench.store, {
      signature: "pay | main @ server",
      container,
      pod: { name: `web-7d9f-${randomUUID().slice(0, 5)}`, namespace, owner },
      crashedAt: new Date(Date.now() - ago * 60_000).toISOString(),
      ...changes,
    });
  };
  const events = (): Record<string, unknown>[] => [...bench.cluster.events.values()];

  beforeAll(async () => {
    const env = { REFRESH_INTERVAL: "1s", GROUP_EVENTS: "true" };
    bench = await startWorkbench(directory, { env });
    bench.cluster.workloads.set("/apis/apps/v1/namespaces/shop/deployments/web", "uid-of-web");
    other = await bench.another({ env });
  }, 60_000);
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
    await bench?.[Symbol.asyncDispose]();
  });

  it("the first crash of a bug in an image is one Event on the workload, of all replicas and however many follow", async () => {
    await crash("1.8");
    await expectSoon("the Event is written", () => events().length === 1);
    expect(events()[0]).toMatchObject({
      involvedObject: { apiVersion: "apps/v1", kind: "Deployment", namespace: "shop", name: "web", uid: "uid-of-web" },
      type: "Warning",
      reason: "NewCrashGroup",
      message: expect.stringMatching(
        /^New in shop:1\.8: SIGSEGV.*; kubectl describe crashgroup -n shop bug-[\da-f]{10}$/,
      ),
    });
    await crash("1.8");
    await crash("1.8");
    // The next version is news again: when it is told, both replicas have seen the crashes before it.
    await crash("1.9");
    await expectSoon("the next version is told", () => events().length === 2);
    expect(events().map(({ message }) => String(message).slice(0, 15))).toEqual(["New in shop:1.8", "New in shop:1.9"]);
  });

  it("nothing is told of what is old, of nobody's workload, and of one that is gone", async () => {
    const before = events().length;
    await crash("2.0", { ago: 30 });
    await crash("2.1", { identity: { source: "hostname", verified: false } });
    await crash("2.2", { namespace: "other" });
    await crash("2.3", { signature: "another @ server" });
    await expectSoon("the last one is told", () =>
      events().some(({ message }) => String(message).includes("shop:2.3")),
    );
    expect(events().length).toBe(before + 1);
  });
});
