import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { IBM_CLOUDS, IBM_VALUES } from "../chart/ibm-values.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { helmFor, type Helm, type Live } from "./helm-release.ts";
import { writeIbmChart } from "./ibm-release.ts";

const RELEASE = "core-dump-handler";

describeUnless(
  clusterUnavailable() ?? missingTools("helm", "crds"),
  "a release of IBM's chart on a real API server",
  () => {
    let cluster: RealCluster;
    let helm: Helm;
    let ibm: string;
    beforeAll(async () => {
      cluster = await startCluster({ controllers: true });
      helm = helmFor(cluster);
      ibm = writeIbmChart(cluster.directory);
      await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "observe" } });
      const definition = join(findTool("crds").path ?? "", "securitycontextconstraints.yaml");
      await cluster.apply(parse(readFileSync(definition, "utf8")));
      await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    });
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
    });

    const daemonSets = async (): Promise<Live[]> =>
      (await cluster.get<{ items: Live[] }>("-n", "observe", "daemonsets")).items;

    /** Protected objects go a moment after they were deleted. */
    const volumesGone = async (): Promise<void> => {
      const names = async (): Promise<string> => (await cluster.kubectl(["get", "pv,pvc", "-A", "-o", "name"])).stdout;
      await expect.poll(names, { timeout: 30_000, interval: 200 }).toBe("");
    };

    it.each([...IBM_CLOUDS, ["every value that there is", IBM_VALUES] as const])(
      "is upgraded in place with the values of its file for %s, rolled back, and upgraded again",
      async (_, values) => {
        await helm("install", RELEASE, ibm);
        const [before] = await daemonSets();
        await helm.chart("upgrade", RELEASE, values);
        const after = await daemonSets();
        // The same object, not a second one: no node is ever looked after by both.
        expect(after.map(({ metadata }) => metadata["uid" as keyof typeof metadata])).toEqual([
          before?.metadata["uid" as keyof typeof before.metadata],
        ]);
        await volumesGone();
        await helm("rollback", RELEASE, "1");
        expect((await daemonSets())[0]?.["spec"]).toMatchObject({
          template: { spec: { containers: [{ name: "coredump-container" }] } },
        });
        await helm.chart("upgrade", RELEASE, values);
        await volumesGone();
        await helm("uninstall", RELEASE, "--wait");
        expect(await daemonSets()).toEqual([]);
      },
    );

    it("with its placeholders, is refused and left as it was", async () => {
      await helm("install", RELEASE, ibm);
      const placeholders = { s3AccessKey: "XXX", s3Secret: "XXX", s3BucketName: "XXX", s3Region: "XXX" };
      await expect(helm.chart("upgrade", RELEASE, { daemonset: placeholders })).rejects.toThrow(/placeholder XXX/);
      expect(await daemonSets()).toHaveLength(1);
      await helm("uninstall", RELEASE, "--wait");
    });
  },
);
