import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { platforms, render } from "../chart/helm.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { helmFor, type Helm } from "./helm-release.ts";

const VALUES = { store: { url: "s3://cores/prod" } };
const ACCOUNT = "system:serviceaccount:observe:core-dump-admin";
const every: unknown = parse(readFileSync(join(import.meta.dirname, "../chart/every.yaml"), "utf8"));

/** Each line says that an object would be made or changed, and nothing else is said. */
const ACCEPTED = /^(\S+ (created|configured|unchanged) \(server dry run\)\n)+$/;

/** The authorizer hears of new rights a moment after they were written. */
const soon = <T>(ask: () => Promise<T>) => expect.poll(ask, { timeout: 30_000, interval: 200 });

interface Rule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
}

describeUnless(clusterUnavailable() ?? missingTools("helm", "crds"), "on a real API server", () => {
  let cluster: RealCluster;
  let helm: Helm;
  beforeAll(async () => {
    cluster = await startCluster({ controllers: true });
    helm = helmFor(cluster);
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "observe" } });
    const folder = findTool("crds").path ?? "";
    for (const file of readdirSync(folder)) {
      await cluster.apply(parse(readFileSync(join(folder, file), "utf8")));
    }
    await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
  });
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  // A dry run makes nothing, so the pod of `helm test` would miss the account that comes before it.
  const account = {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "core-dump-admin", namespace: "observe" },
  };

  /** What kubectl says about objects that the API server is only to check. */
  const validate = async (text: string): Promise<string> => {
    await cluster.apply(account);
    const args = ["apply", "-n", "observe", "--dry-run=server", "--validate=strict", "-f", "-"];
    const { stdout, stderr } = await cluster.kubectl(args, { input: text });
    return stderr + stdout;
  };

  it.each(platforms())("every object for %s is accepted, strictly", async (platform) => {
    const lines = await validate(render({ store: { bucket: "cores" } }, { files: [platform] }).text);
    expect(lines).toMatch(ACCEPTED);
  });

  it("every object is accepted when everything is switched on, operators' kinds as well", async () => {
    expect(await validate(render(every).text)).toMatch(ACCEPTED);
  });

  /** What an account may do, as the API server's own authorizer says; what everybody may is left out. */
  const rulesOf = async (namespace: string): Promise<string[]> => {
    const review = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } };
    const { stdout, stderr } = await cluster.kubectl(
      ["create", "-f", "-", "-o", "json", "--validate=false", "--as", ACCOUNT],
      {
        input: JSON.stringify(review),
      },
    );
    if (stdout === "") throw new Error(stderr);
    const { resourceRules } = (JSON.parse(stdout) as { status: { resourceRules: Rule[] } }).status;
    return resourceRules
      .filter(({ resources = [] }) => !resources.some((name) => name.startsWith("self")))
      .map(({ verbs, resources = [], resourceNames = [] }) =>
        `${verbs.toSorted().join(",")} ${resources.join(",")} ${resourceNames.join(",")}`.trim(),
      )
      .sort();
  };

  it("the service account may write Events, read a pod by its name and its own DaemonSet, and nothing else", async () => {
    await cluster.kubectl(["-n", "observe", "delete", "serviceaccount", "core-dump-admin", "--ignore-not-found"]);
    await helm.chart("install", "cdh", VALUES);
    await soon(() => rulesOf("default")).toEqual(["create,get,patch events", "get pods"]);
    await soon(() => rulesOf("observe")).toEqual([
      "create,get,patch events",
      "get daemonsets cdh-core-dump-handler",
      "get namespaces observe",
      "get pods",
      "watch rolebindings cdh-core-dump-handler-uninstall",
    ]);
    const may = async (...words: string[]): Promise<string> =>
      (await cluster.kubectl(["auth", "can-i", ...words, "--as", ACCOUNT])).stdout.trim();
    expect(await may("get", "daemonsets.apps/cdh-core-dump-handler", "-n", "observe")).toBe("yes");
    expect(await may("create", "events", "-n", "shop")).toBe("yes");
    for (const words of [
      ["get", "daemonsets.apps/another", "-n", "observe"],
      ["get", "namespaces/shop"],
      ["list", "rolebindings.rbac.authorization.k8s.io", "-n", "observe"],
      ["list", "daemonsets.apps", "-n", "observe"],
      ["delete", "daemonsets.apps/cdh-core-dump-handler", "-n", "observe"],
      ["list", "events", "-n", "shop"],
      ["list", "pods", "-n", "shop"],
      ["get", "secrets", "-n", "observe"],
      ["get", "nodes"],
      ["create", "pods", "-n", "observe"],
    ]) {
      expect(`${words.join(" ")}: ${await may(...words)}`).toBe(`${words.join(" ")}: no`);
    }
  });

  it("may nothing at all when nothing of it is asked for", async () => {
    await helm.chart("upgrade", "cdh", {
      ...VALUES,
      node: { restoreOnExit: "never" },
      upload: { kubernetesEvents: false, podFacts: false },
    });
    await soon(() => rulesOf("observe")).toEqual([]);
    await soon(() => rulesOf("default")).toEqual([]);
    const pod = await cluster.get<{
      spec: { template: { spec: { automountServiceAccountToken: boolean; volumes: { name: string }[] } } };
    }>("-n", "observe", "daemonset/cdh-core-dump-handler");
    expect(pod.spec.template.spec.automountServiceAccountToken).toBe(false);
    expect(pod.spec.template.spec.volumes.map(({ name }) => name)).not.toContain("kube-api-access");
    await helm("uninstall", "cdh");
  });

  it("a namespace that enforces Pod Security keeps the pods out, and the API server says so at the install", async () => {
    await cluster.kubectl(["label", "namespace", "observe", "pod-security.kubernetes.io/warn=restricted"]);
    await cluster.apply(account);
    const { stderr, stdout } = await cluster.kubectl(["apply", "-n", "observe", "--dry-run=server", "-f", "-"], {
      input: render(VALUES).text,
    });
    expect(stdout).toContain("daemonset.apps/cdh-core-dump-handler created");
    expect(stderr).toMatch(/would violate PodSecurity "restricted:latest"/);
    const complaints = [...stderr.matchAll(/[:,] ([^(:]+) \(([^)]*)\)/g)];
    const about = (container: string): string[] =>
      complaints.flatMap(([, what = "", who = ""]) => (who.includes(`"${container}"`) ? [what] : []));
    expect(about("node")).toContain("privileged");
    // Root, so that it may read the spool; and nothing else that the strictest profile asks for.
    expect(about("upload")).toEqual(["runAsNonRoot != true", "runAsUser=0"]);
  });
});
