import { beforeAll, expect, it } from "vitest";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startCrashingPod } from "./crashing-pods.ts";
import type { Deployment } from "./deployment.ts";
import { CRASHER } from "./images.ts";
import { podsUnavailable, setUpPods } from "./suite.ts";

describeUnless(podsUnavailable(), "pods that crash beside the chart's pod", () => {
  const suite = setUpPods();
  let ours: Deployment;
  beforeAll(async () => {
    ours = await suite.deploy();
  }, 120_000);

  it("the chart's pod makes the kernel start its composer", async () => {
    expect(readKernelSettings().corePattern).toContain(`|${suite.hostDir}/cdc `);
    expect(await ours.ask("node", "readiness")).toBe(200);
    expect(await ours.ask("upload", "readiness")).toBe(200);
  });

  it("a crashing container", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "web-0", labels: { app: "web" } });
    const id = await pod.start({ name: "server" });
    process.kill(suite.node.pidOf(id), "SIGUSR1");
    const arrival = await suite.arrivals.next("it arrives", ({ container }) => container?.id === id);
    expect(arrival.manifest).toMatchObject({
      identity: { source: "oci-config", verified: true },
      pod: { name: "web-0", namespace: "shop", uid: pod.uid, sandboxId: pod.id, labels: { app: "web" } },
      container: { name: "server", imageRef: CRASHER, restartCount: 0 },
      signal: { name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: "0x1234" },
      core: { complete: true },
      node: { nodeName: "node-1", clusterName: "first" },
    });
    const bundle = await suite.arrivals.open(arrival);
    expect(bundle.manifest).toEqual(arrival.manifest);
    expect((await bundle.read("-0.log")).toString()).toBe("first line of 1\nlast line of 1\n");
  });
});
