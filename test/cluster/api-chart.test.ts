import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { askKubernetes, type KubernetesAccess } from "@cdh/core/kubernetes";
import { createLogger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import type { ObjectStore } from "@cdh/core/store/store";
import { retentionWork } from "../../packages/cdh-api/src/retention/service.ts";
import { retentionSettings } from "../../packages/cdh-api/src/retention/settings.ts";
import { lead } from "../../packages/cdh-api/src/serve/lead.ts";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { fillDirectory, leftIn, type StoredSample } from "../api/retention-store.ts";
import { render } from "../chart/helm.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { helmFor, type Helm } from "./helm-release.ts";

const every = parse(readFileSync(join(import.meta.dirname, "../chart/every-api.yaml"), "utf8")) as object;
const GROUP = "core-dump-handler.dev";
const LEASE = "cdh-core-dump-handler-retention";
const ACCOUNT = "cdh-core-dump-handler-api";
const VALUES = {
  store: { url: "s3://cores/prod" },
  // Nobody runs pods here.
  api: {
    enabled: true,
    retention: { enabled: true, maxAge: "30d", namespaceGoneGrace: 0, podGoneGrace: 0 },
  },
};
const scratch = scratchDirectory("api-chart");
const DAY = 86_400_000;

describeUnless(
  clusterUnavailable() ?? missingTools("helm", "crds") ?? notBuilt("cdh-api"),
  "the chart's API on a real API server",
  () => {
    let cluster: RealCluster;
    let helm: Helm;
    let access: KubernetesAccess;
    beforeAll(async () => {
      cluster = await startCluster();
      helm = helmFor(cluster);
      await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "observe" } });
      const folder = findTool("crds").path ?? "";
      for (const file of readdirSync(folder)) await cluster.apply(parse(readFileSync(join(folder, file), "utf8")));
      await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
      await helm.chart("install", "cdh", VALUES);
      const directory = join(scratch, "account");
      mkdirSync(directory);
      writeFileSync(join(directory, "token"), await cluster.tokenOf("observe", ACCOUNT));
      writeFileSync(join(directory, "ca.crt"), readFileSync(cluster.ca.cert));
      writeFileSync(join(directory, "namespace"), "observe");
      access = { host: cluster.host, port: cluster.port, directory };
    });
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]();
    });

    it.each([
      ["the least", { store: VALUES.store, api: { enabled: true } }],
      ["everything", every],
    ])("%s: every object is accepted, strictly", async (_, values) => {
      const args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
      const rendered = render({ ...values, tests: { enabled: false } }, { release: "second" });
      const { stdout, stderr } = await cluster.kubectl(args, { input: rendered.text });
      // What is in the cluster already was made by helm, and kubectl says that it will keep its own note on it.
      const said = stderr.split("\n").filter((line) => line !== "" && !line.includes("last-applied-configuration"));
      expect(said).toEqual([]);
      expect(stdout).toMatch(/apiservice\S+core-dump-handler.dev \w+ \(server dry run\)/);
    });

    it("the certificate that helm made is kept over an upgrade, and kube-apiserver is told the same authority", async () => {
      const look = async (): Promise<unknown> => [
        (await cluster.get<{ data: object }>("-n", "observe", "secret", `${ACCOUNT}-tls`)).data,
        (await cluster.get<{ spec: { caBundle: string } }>("apiservice", "v1alpha1.core-dump-handler.dev")).spec
          .caBundle,
      ];
      const [data, caBundle] = (await look()) as [Record<string, string>, string];
      expect(data["ca.crt"]).toBe(caBundle);
      await helm.chart("upgrade", "cdh", { ...VALUES, clusterName: "" });
      expect(await look()).toEqual([data, caBundle]);
    });

    it("the roles give people just what they are named after, through the bindings that cdh-api prints", async () => {
      for (const [right, group] of [
        ["view", "viewers"],
        ["download", "loaders"],
        ["admin", "keepers"],
      ] as const) {
        const args = ["print-rbac", "--namespace", "shop", "--group", group, "--right", right];
        const { stdout, exitCode } = await runBuilt("cdh-api", args);
        expect(exitCode).toBe(0);
        await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
        expect(await cluster.kubectl(["apply", "-f", "-"], { input: stdout })).toMatchObject({ status: 0 });
      }
      const table: [verb: string, what: string, who: string][] = [
        ["list", "coredumps", "viewers loaders keepers"],
        ["watch", "coredumps", "viewers loaders keepers"],
        ["get", "coredumps/report", "viewers loaders keepers"],
        ["get", "coredumps/bundle", "loaders keepers"],
        ["get", "coredumps/core", "loaders keepers"],
        ["create", "coredumps/link", "loaders keepers"],
        ["delete", "coredumps", "keepers"],
        ["patch", "coredumps", "keepers"],
        ["create", "coredumps", ""],
        ["get", "secrets", ""],
      ];
      const questions = ["shop", "observe"].flatMap((namespace) =>
        table.flatMap(([verb, what]) =>
          ["viewers", "loaders", "keepers", "strangers"].map((group) => ({ namespace, verb, what, group })),
        ),
      );
      const input = questions
        .map(({ namespace, verb, what, group }) => {
          const [resource, subresource] = what.split("/");
          const attributes = { namespace, verb, resource, subresource, group: resource === "secrets" ? "" : GROUP };
          const spec = { user: "somebody", groups: [group], resourceAttributes: attributes };
          return JSON.stringify({ apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec });
        })
        .join("\n---\n");
      const format = "jsonpath={.status.allowed}{'\\n'}";
      const { stdout, stderr } = await cluster.kubectl(["create", "--validate=false", "-o", format, "-f", "-"], {
        input,
      });
      const answers = stdout.trim().split("\n");
      expect(answers, stderr).toHaveLength(questions.length);
      const allowed = questions.filter((_question, index) => answers[index] === "true");
      for (const [verb, what, who] of table) {
        const found = allowed.filter((question) => question.verb === verb && question.what === what);
        expect(found.map(({ group }) => group).join(" "), `${verb} ${what}`).toBe(who);
        // Nothing of it in a namespace that nobody bound.
        expect(found.filter(({ namespace }) => namespace !== "shop")).toEqual([]);
      }
    });

    it("a Lease that was written meanwhile is refused to whoever read it before", async () => {
      const path = "/apis/coordination.k8s.io/v1/namespaces/observe/leases";
      const metadata = { name: LEASE, namespace: "observe" };
      await cluster.kubectl(["delete", "lease", LEASE, "-n", "observe", "--ignore-not-found"]);
      const spec = { holderIdentity: "x", leaseDurationSeconds: 1, renewTime: "2026-11-21T11:00:00.000000Z" };
      const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
      const made = await askKubernetes(access, "POST", path, lease);
      expect(made).toMatchObject({ status: 201 });
      expect(await askKubernetes(access, "POST", path, lease)).toMatchObject({ status: 409 });
      const { resourceVersion } = (made.body as { metadata: { resourceVersion: string } }).metadata;
      const change = (holderIdentity: string): object => ({ metadata: { resourceVersion }, spec: { holderIdentity } });
      expect(await askKubernetes(access, "PATCH", `${path}/${LEASE}`, change("a"))).toMatchObject({ status: 200 });
      expect(await askKubernetes(access, "PATCH", `${path}/${LEASE}`, change("b"))).toMatchObject({ status: 409 });
      // And no other Lease is any of its business.
      expect(await askKubernetes(access, "GET", `${path}/another`)).toMatchObject({ status: 403 });
      expect(await askKubernetes(access, "GET", path)).toMatchObject({ status: 403 });
      expect(await askKubernetes(access, "GET", "/api/v1/namespaces")).toMatchObject({ status: 403 });
      expect(await askKubernetes(access, "GET", "/api/v1/namespaces/observe/secrets/x")).toMatchObject({ status: 403 });
    });

    it("of two replicas one removes, with the rights that the chart gives, what is gone from the cluster", async () => {
      await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "till" } });
      await cluster.apply({
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "default", namespace: "till" },
      });
      const pod = { containers: [{ name: "a", image: "a" }] };
      await cluster.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "alive", namespace: "till" }, spec: pod });
      const { metadata } = await cluster.get<{ metadata: { uid: string } }>("-n", "till", "pod", "alive");
      const directory = mkdtempSync(join(scratch, "store-"));
      const sample = (name: string, more: Partial<StoredSample>): StoredSample => ({
        name,
        namespace: "till",
        ageMs: DAY,
        ...more,
      });
      const store: ObjectStore = await fillDirectory(directory, [
        sample("alive", { pod: "alive", uid: metadata.uid }),
        sample("replaced", { pod: "alive", uid: "00000000-0000-4000-8000-000000000000" }),
        sample("gone", { pod: "gone", uid: "00000000-0000-4000-8000-000000000001" }),
        sample("nowhere", { namespace: "nowhere" }),
        sample("old", { namespace: "till", pod: "alive", uid: metadata.uid, ageMs: 40 * DAY }),
      ]);
      const lines: string[] = [];
      const stop = new AbortController();
      onTestFinished(() => stop.abort(new Error("the test has ended")));
      const replicas = ["a", "b"].map((identity) => {
        const metrics = createMetrics();
        const options = {
          settings: resolveSettingsStrictly(retentionSettings, {
            env: {
              RETENTION: "true",
              RETENTION_MAX_AGE: "30d",
              RETENTION_NAMESPACE_GONE_GRACE: "0",
              RETENTION_POD_GONE_GRACE: "0",
              RETENTION_INTERVAL: "1s",
              LEASE_NAME: LEASE,
              LEASE_DURATION: "15s",
            },
          }).values,
          placement: { hostNamespace: "core-dump-handler-host", trustUnverified: false },
          store: new DirectoryStore(directory, { clock: systemClock }),
          clock: systemClock,
          log: createLogger({
            program: identity,
            level: "info",
            format: "json",
            clock: systemClock,
            write: (line) => void lines.push(line),
          }),
          metrics,
          access,
          identity,
        };
        const running = lead({ ...options, works: [retentionWork(options)], stopSignal: stop.signal });
        return { metrics, running, identity };
      });
      const left = ["till/alive.manifest.json", "till/alive.zip"];
      await expect.poll(() => leftIn(store), { timeout: 60_000 }).toEqual(left);
      const leading = replicas.filter(({ metrics }) => metrics.render().includes("\ncdh_retention_leader 1\n"));
      expect(leading).toHaveLength(1);
      const lease = await cluster.get<{ spec: { holderIdentity: string } }>("-n", "observe", "lease", LEASE);
      expect(lease.spec.holderIdentity).toBe(leading[0]?.identity);
      stop.abort(new Error("stopped"));
      await Promise.all(replicas.map(({ running }) => running));
      const told = lines.map(
        (line) => JSON.parse(line) as { key?: string; reason?: string; msg: string; level: string },
      );
      const removed = told.filter(({ msg }) => msg === "removed a bundle").map(({ key, reason }) => `${key} ${reason}`);
      expect(removed.sort()).toEqual([
        "nowhere/nowhere.zip namespaceGone",
        "till/gone.zip podGone",
        "till/old.zip age",
        "till/replaced.zip podGone",
      ]);
      expect(told.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
      const after = await cluster.get<{ spec: { holderIdentity?: string } }>("-n", "observe", "lease", LEASE);
      expect(after.spec.holderIdentity ?? "").toBe("");
    }, 120_000);
  },
);
