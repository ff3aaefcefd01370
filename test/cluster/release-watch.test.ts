import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { askKubernetes, type KubernetesAccess } from "@cdh/core/kubernetes";
import { ReleaseWatch } from "../../packages/cdh-sysctl/src/watch/release-watch.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { helmFor, type Helm } from "./helm-release.ts";

const BINDING = "cdh-core-dump-handler-uninstall";
const VALUES = { store: { url: "s3://cores/prod" } };

describeUnless(clusterUnavailable() ?? missingTools("helm"), "the watch on a release, at a real API server", () => {
  let cluster: RealCluster;
  let helm: Helm;
  beforeAll(async () => {
    cluster = await startCluster({ controllers: true });
    helm = helmFor(cluster);
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "observe" } });
  });
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  /** The service account as a pod of the DaemonSet has it. */
  const account = async (name: string): Promise<KubernetesAccess> => {
    const directory = join(cluster.directory, `account-${name}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "token"), await cluster.tokenOf("observe", name));
    writeFileSync(join(directory, "ca.crt"), readFileSync(cluster.ca.cert));
    return { host: cluster.host, port: cluster.port, directory };
  };

  it("hears that helm uninstalls it, after which nobody may be asked", async () => {
    await helm.chart("install", "cdh", VALUES);
    const access = await account("core-dump-admin");
    const path = "/apis/apps/v1/namespaces/observe/daemonsets/cdh-core-dump-handler";
    await expect.poll(async () => (await askKubernetes(access, "GET", path)).status).toBe(200);
    const said: string[] = [];
    const watch = new ReleaseWatch(access, {
      namespace: "observe",
      roleBinding: BINDING,
      clock: systemClock,
      onProblem: (problem) => said.push(problem),
    });
    // It has to stay open: an API server that cannot tell the newest state says so and ends the watch.
    const ofOurs = (stage: string): boolean =>
      readFileSync(cluster.auditLog, "utf8")
        .split("\n")
        .some((line) => line.includes(`"stage":"${stage}"`) && line.includes("rolebindings?watch=1"));
    await expect.poll(() => ofOurs("ResponseStarted")).toBe(true);
    expect(watch.bindingDeleted).toBe(false);
    await helm("uninstall", "cdh", "--wait");
    await expect.poll(() => watch.bindingDeleted, { timeout: 5_000 }).toBe(true);
    await expect.poll(async () => (await askKubernetes(access, "GET", path)).status).toBe(401);
    expect(ofOurs("ResponseComplete")).toBe(false);
    expect(said).toEqual([]);
    watch.close();
  });

  it("says that it may not watch", async () => {
    const said: string[] = [];
    const watch = new ReleaseWatch(await account("default"), {
      namespace: "observe",
      roleBinding: BINDING,
      clock: systemClock,
      onProblem: (problem) => said.push(problem),
    });
    await expect.poll(() => said).toEqual(["the API server said 403"]);
    watch.close();
  });
});
