import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, only, podOf, render, STORE, type Container, type Rendered } from "./helm.ts";

const every = parse(readFileSync(join(import.meta.dirname, "every.yaml"), "utf8")) as Record<string, unknown>;
const kinds = (rendered: Rendered): string[] => rendered.objects.map(({ kind }) => kind).sort();
const LEAST = ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "Role", "RoleBinding", "ServiceAccount"];

const QUIET = { kubernetesEvents: false, podFacts: false };

/** What comes, or goes, with one value. */
const OBJECTS: [value: string, values: Record<string, unknown>, added: string[], removed: string[]][] = [
  ["nothing", {}, [], []],
  ["metrics.podMonitor", { metrics: { podMonitor: { enabled: true } } }, ["PodMonitor"], []],
  ["metrics.serviceMonitor", { metrics: { serviceMonitor: { enabled: true } } }, ["Service", "ServiceMonitor"], []],
  ["metrics.prometheusRule", { metrics: { prometheusRule: { enabled: true } } }, ["PrometheusRule"], []],
  ["metrics.dashboard", { metrics: { dashboard: { enabled: true } } }, ["ConfigMap"], []],
  ["networkPolicy", { networkPolicy: { enabled: true } }, ["NetworkPolicy"], []],
  ["scc", { scc: { create: true } }, ["SecurityContextConstraints"], []],
  ["serviceAccount.useToken", { serviceAccount: { useToken: true } }, ["Secret"], []],
  ["keys in values", { daemonset: { s3AccessKey: "a", s3Secret: "b" } }, ["Secret"], []],
  ["no service account", { serviceAccount: { create: false } }, [], ["ServiceAccount"]],
  ["no rbac", { rbac: { create: false } }, [], ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]],
  ["neither Events nor facts", { upload: QUIET }, [], ["ClusterRole", "ClusterRoleBinding"]],
  ["no question on exit", { node: { restoreOnExit: "never" } }, [], ["Role", "RoleBinding"]],
  ["no uploader", { upload: { enabled: false } }, [], ["ClusterRole", "ClusterRoleBinding"]],
];

describeUnless(missingTools("helm"), "each switch", () => {
  it.each(OBJECTS)("%s: brings and takes just that", (_, values, added, removed) => {
    const rendered = render({ ...STORE, tests: { enabled: false }, ...values });
    expect(rendered.refused).toBe("");
    expect(kinds(rendered)).toEqual([...LEAST.filter((kind) => !removed.includes(kind)), ...added].sort());
  });

  it("upload.enabled=false leaves the privileged container alone on the node", () => {
    const rendered = render({ upload: { enabled: false } });
    expect(podOf(rendered).containers.map(({ name }) => name)).toEqual(["node"]);
    expect(rendered.text).not.toMatch(/S3_|STORE_URL/);
  });

  it.each<[what: string, values: object, holders: string[]]>([
    ["by default", {}, ["node", "upload"]],
    ["nothing is asked on exit", { node: { restoreOnExit: "never" } }, ["upload"]],
    ["the uploader asks nothing", { upload: QUIET }, ["node"]],
    ["nobody asks", { upload: QUIET, node: { restoreOnExit: "never" } }, []],
    ["with a sidecar", { daemonset: { sidecarContainers: [{ name: "own", image: "own" }] } }, ["node", "upload"]],
  ])("a token is mounted only where it is used: %s", (_, values, holders) => {
    const pod = podOf(render({ ...STORE, ...values }));
    expect(pod["automountServiceAccountToken"]).toBe(false);
    const mounts = ({ volumeMounts }: Container): boolean =>
      volumeMounts.some(({ name }) => name === "kube-api-access");
    expect(pod.containers.filter(mounts).map(({ name }) => name)).toEqual(holders);
    expect(pod.volumes.some(({ name }) => name === "kube-api-access")).toBe(holders.length > 0);
  });

  it("an existing Secret is read, key by key, and none is made", () => {
    const rendered = render({ store: { existingSecret: "mine" }, daemonset: { s3Region: "ignored-here" } });
    expect(kinds(rendered)).not.toContain("Secret");
    const refs = (containerOf(rendered, "upload").env ?? []).flatMap(({ name, valueFrom }) =>
      valueFrom?.["secretKeyRef"] === undefined
        ? []
        : [[name, valueFrom["secretKeyRef"]["name"], valueFrom["secretKeyRef"]["optional"]]],
    );
    expect(refs).toEqual(
      ["S3_ACCESS_KEY", "S3_SECRET", "S3_SESSION_TOKEN", "S3_BUCKET_NAME", "S3_REGION", "S3_ENDPOINT"].map((name) => [
        name,
        "mine",
        true,
      ]),
    );
  });

  it("rules of stores: a file, each Secret beside it, and new pods when they change", () => {
    const rules = [
      { name: "team-a", namespaces: ["team-a-*"], store: "s3://team-a", existingSecret: "a-keys", maxWaiting: "1Gi" },
      { name: "team-b", namespaces: ["team-b"], store: "gs://team-b" },
    ];
    const rendered = render({ store: { url: "s3://cores", rules } });
    expect(rendered.refused).toBe("");
    const map = only(rendered, "ConfigMap") as unknown as { metadata: { name: string }; data: Record<string, string> };
    expect(JSON.parse(map.data["rules.json"] ?? "")).toEqual({
      rules: [
        {
          name: "team-a",
          namespaces: ["team-a-*"],
          store: "s3://team-a",
          maxWaiting: "1Gi",
          secretDir: "/etc/core-dump-handler/store-secrets/team-a",
        },
        rules[1],
      ],
    });
    const upload = containerOf(rendered, "upload");
    expect(envOf(upload)["STORE_RULES"]).toBe("/etc/core-dump-handler/store-rules/rules.json");
    expect(upload.volumeMounts).toEqual(
      expect.arrayContaining([
        { name: "store-rules", mountPath: "/etc/core-dump-handler/store-rules", readOnly: true },
        { name: "store-secret-0", mountPath: "/etc/core-dump-handler/store-secrets/team-a", readOnly: true },
      ]),
    );
    expect(podOf(rendered).volumes).toEqual(
      expect.arrayContaining([
        { name: "store-rules", configMap: { name: map.metadata.name } },
        { name: "store-secret-0", secret: { secretName: "a-keys", defaultMode: 0o400, optional: true } },
      ]),
    );
    // Only the uploader sees the tenants' keys.
    expect(containerOf(rendered, "node").volumeMounts.map(({ name }) => name)).not.toContain("store-secret-0");
    const checksum = (given: object[]): unknown => {
      const { spec } = only(render({ store: { url: "s3://cores", rules: given } }), "DaemonSet") as unknown as {
        spec: { template: { metadata: { annotations: Record<string, string> } } };
      };
      return spec.template.metadata.annotations["checksum/store-rules"];
    };
    expect(checksum(rules)).not.toBe(checksum(rules.slice(1)));
    expect(checksum([])).toBeUndefined();
  });

  it("with store.url the bucket of an existing Secret is not a second store", () => {
    const env = envOf(containerOf(render({ store: { url: "s3://cores/x", existingSecret: "mine" } }), "upload"));
    expect(env).not.toHaveProperty("S3_BUCKET_NAME");
  });

  it.each([
    ["a claim", { pvc: { existingClaim: "cores", subPath: "a" } }, { persistentVolumeClaim: { claimName: "cores" } }],
    ["NFS", { nfs: { server: "nas", path: "/cores" } }, { nfs: { server: "nas", path: "/cores" } }],
  ])("%s takes the place of a bucket", (_, store, volume) => {
    const rendered = render({ store });
    const upload = containerOf(rendered, "upload");
    expect(envOf(upload)["STORE_URL"]).toBe("file:///store");
    expect(upload.volumeMounts).toContainEqual(expect.objectContaining({ name: "store", mountPath: "/store" }));
    expect(podOf(rendered).volumes).toContainEqual({ name: "store", ...volume });
    expect(containerOf(rendered, "node").volumeMounts.map(({ name }) => name)).not.toContain("store");
  });

  it("a sidecar gets the spool and the event files, and no privilege", () => {
    const sidecar = containerOf(render(every), "printer");
    expect(sidecar.volumeMounts.map(({ name }) => name).sort()).toEqual(["core-volume", "event-volume"]);
    expect(sidecar.securityContext).toBeUndefined();
  });

  it("the image is pinned by a digest, and a registry is put before it", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const { image } = containerOf(render({ ...STORE, image: { registry: "registry.example.com/", digest } }), "node");
    expect(image).toBe(`registry.example.com/core-dump-handler@${digest}`);
    expect(containerOf(render(STORE), "node").image).toBe("registry.example.com/core-dump-handler:0.1.0");
  });

  it("pull secrets, priority, nodes and the rest of a pod arrive", () => {
    expect(podOf(render(every))).toMatchObject({
      imagePullSecrets: [{ name: "one" }, { name: "two" }, { name: "three" }],
      priorityClassName: "system-node-critical",
      nodeSelector: { "kubernetes.io/os": "linux" },
      tolerations: [{ operator: "Exists" }],
    });
    const daemonSet = only(render(every), "DaemonSet")["spec"] as Record<string, unknown>;
    expect(daemonSet["updateStrategy"]).toEqual({ type: "OnDelete" });
  });

  it("a changed key in the managed Secret starts the pods anew", () => {
    const annotation = (s3Secret: string): unknown => {
      const spec = only(render({ daemonset: { s3AccessKey: "a", s3BucketName: "b", s3Secret } }), "DaemonSet")["spec"];
      return (spec as { template: { metadata: { annotations: object } } }).template.metadata.annotations;
    };
    expect(annotation("one")).toEqual(annotation("one"));
    expect(annotation("one")).not.toEqual(annotation("two"));
  });

  it("file mode lets the uploader read cores of other users, and nothing else", () => {
    const contextOf = (mode: string): unknown =>
      containerOf(render({ ...STORE, node: { mode } }), "upload").securityContext?.["capabilities"];
    expect(contextOf("file")).toEqual({ drop: ["ALL"], add: ["DAC_READ_SEARCH"] });
    expect(contextOf("pipe")).toEqual({ drop: ["ALL"] });
  });
});

describeUnless(missingTools("helm"), "privileges", () => {
  const rendered = render(every);

  it("one container is privileged, and it alone sees the node's root", () => {
    const privileged = podOf(rendered).containers.filter(
      ({ securityContext }) => securityContext?.["privileged"] === true,
    );
    expect(privileged.map(({ name }) => name)).toEqual(["node"]);
    const seeing = podOf(rendered).containers.filter(({ volumeMounts }) =>
      volumeMounts.some(({ name }) => name === "host-root"),
    );
    expect(seeing.map(({ name }) => name)).toEqual(["node"]);
  });

  it("the uploader has no way up", () => {
    expect(containerOf(render(STORE), "upload").securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsUser: 0,
      runAsNonRoot: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    });
  });

  it("no mount is propagated to the node, and the node's unmounts reach the container", () => {
    const propagations = (values: object): (string | undefined)[] =>
      podOf(render({ ...STORE, ...values })).containers.flatMap(({ volumeMounts }) =>
        volumeMounts.flatMap(({ mountPropagation }) => mountPropagation ?? []),
      );
    expect(propagations({})).toEqual(["HostToContainer"]);
    expect(propagations({ node: { hostRootPropagation: "None" } })).toEqual(["None"]);
    expect(render({ ...STORE, node: { hostRootPropagation: "Bidirectional" } }).refused).toMatch(/must be one of/);
  });

  it("the pod shares no namespace with the node", () => {
    expect(podOf(rendered)).toMatchObject({ hostNetwork: false, hostPID: false, hostIPC: false });
  });

  it("the service account may do what the programs do, and no more", () => {
    expect(only(rendered, "ClusterRole")["rules"]).toEqual([
      { apiGroups: [""], resources: ["events"], verbs: ["create", "get", "patch"] },
      { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
    ]);
    expect(only(rendered, "Role")["rules"]).toEqual([
      {
        apiGroups: ["apps"],
        resources: ["daemonsets"],
        resourceNames: [only(rendered, "DaemonSet").metadata.name],
        verbs: ["get"],
      },
      { apiGroups: [""], resources: ["namespaces"], resourceNames: ["observe"], verbs: ["get"] },
      {
        apiGroups: ["rbac.authorization.k8s.io"],
        resources: ["rolebindings"],
        resourceNames: [only(rendered, "RoleBinding").metadata.name],
        verbs: ["watch"],
      },
    ]);
  });
});

describeUnless(missingTools("helm"), "names", () => {
  const long = "a-release-with-a-name-that-is-fifty-three-signs-long";

  it.each([
    ["a long release", {}, long],
    ["a long full name", { fullnameOverride: `${"n".repeat(62)}-x` }, "cdh"],
    ["a long name", { nameOverride: "m".repeat(80) }, "cdh"],
  ])("%s: no name and no label is longer than 63 or ends with a dash", (_, values, release) => {
    const { objects } = render({ ...every, ...values }, { release });
    for (const { metadata } of objects) {
      for (const text of [metadata.name, ...Object.values(metadata.labels ?? {})]) {
        expect(text.length, text).toBeLessThanOrEqual(63);
        expect(text).toMatch(/^(|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$/);
      }
    }
    const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it("are not doubled for a release of the chart's name", () => {
    expect(only(render(STORE, { release: "core-dump-handler" }), "DaemonSet").metadata.name).toBe("core-dump-handler");
  });
});

describe("rules and dashboard", () => {
  const folder = join(import.meta.dirname, "../../charts/core-dump-handler/files");
  const nodes = ["cdh-upload/src/tell/upload-metrics.ts", "cdh-sysctl/src/watch/watch-metrics.ts"];
  const api = [
    "cdh-api/src/call/api-metrics.ts",
    "cdh-api/src/groups/group-metrics.ts",
    "cdh-api/src/retention/retention-metrics.ts",
  ];
  const namesIn = (sources: readonly string[]): (string | undefined)[] =>
    sources
      .flatMap((file) => [
        ...readFileSync(join(import.meta.dirname, "../../packages", file), "utf8").matchAll(/"(cdh_\w+)"/g),
      ])
      .map(([, name]) => name);
  const askedBy = (file: string): Set<string> =>
    new Set(readFileSync(join(folder, file), "utf8").match(/cdh_\w+?(?=(_bucket|_sum|_count)?\b)/g));

  it.each([
    ["rules.yaml", nodes],
    ["dashboard.json", nodes],
    ["rules-api.yaml", api],
    ["dashboard-api.json", api],
  ])("%s asks only for metrics that the programs have", (file, sources) => {
    const asked = askedBy(file);
    expect(asked.size).toBeGreaterThan(5);
    expect(namesIn(sources)).toEqual(expect.arrayContaining([...asked]));
  });

  it.each(["dashboard.json", "dashboard-api.json"])("%s asks for one cluster or all, and leads to the page", (file) => {
    const { panels, templating, links } = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
      panels: { id: number; title: string; targets: { expr: string }[] }[];
      templating: { list: { name: string }[] };
      links: { url: string }[];
    };
    expect(templating.list.map(({ name }) => name)).toEqual(expect.arrayContaining(["cluster", "page"]));
    expect(links.map(({ url }) => url)).toEqual(["${page}/#/"]);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, targets } of panels)
      for (const { expr } of targets)
        for (const [series] of expr.matchAll(/cdh_\w+(\{[^}]*\})?/g))
          expect(series, title).toContain('{cluster=~"$cluster"');
  });

  it("every metric of cdh-api and of retention is on the dashboard", () => {
    // The others are settings, and a count that the requests have, too.
    const others = ["cdh_api_downloads_total", "cdh_api_refresh_interval_seconds", "cdh_retention_interval_seconds"];
    expect([...askedBy("dashboard-api.json"), ...others].toSorted()).toEqual(namesIn(api).toSorted());
  });
});
