import { describe, expect, it } from "vitest";
import { only, render, STORE } from "../chart/helm.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import type { SecurityConfig } from "./cri.ts";
import { UnknownField } from "./fields.ts";
import type { Kubelet } from "./kubelet.ts";
import type { TranslatedContainer } from "./translate-container.ts";
import { parseQuantity } from "./translate-resources.ts";
import { MASKED_PATHS } from "./translate-security.ts";
import { translatePod } from "./translate.ts";

const KUBELET: Kubelet = {
  nodeName: "node-1",
  podName: "cdh-x1",
  podUid: "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
  namespace: "observe",
  logs: "/logs",
  volumes: "/volumes",
  cgroupParent: "/here",
  secrets: { keys: { user: "me", password: "x" } },
  configMaps: { ca: { "ca.pem": "PEM", other: "no" } },
};

interface Spec {
  pod?: Record<string, unknown>;
  container?: Record<string, unknown>;
  kubelet?: Partial<Kubelet>;
}

function translate({ pod = {}, container = {}, kubelet = {} }: Spec) {
  const spec = {
    automountServiceAccountToken: false,
    containers: [{ name: "one", image: "i:1", ...container }],
    ...pod,
  };
  const template = { metadata: { labels: { app: "x" }, annotations: { note: "y" } }, spec };
  return translatePod(
    { apiVersion: "apps/v1", kind: "DaemonSet", metadata: {}, spec: { selector: {}, template } },
    { ...KUBELET, ...kubelet },
  );
}

const first = (spec: Spec): TranslatedContainer => {
  const [container] = translate(spec).containers;
  if (container === undefined) throw new Error("no container");
  return container;
};
const security = (securityContext: Record<string, unknown>): SecurityConfig =>
  first({ container: { securityContext } }).config.linux.security_context;
const envs = (spec: Spec): Record<string, string> =>
  Object.fromEntries(first(spec).config.envs.map(({ key, value }) => [key, value]));

describe("what is not known", () => {
  it.each<[string, Spec, string]>([
    ["a field of the pod", { pod: { shareProcessNamespace: true } }, "shareProcessNamespace"],
    ["a field of a container", { container: { lifecycle: {} } }, "lifecycle"],
    ["a kind of volume", { pod: { volumes: [{ name: "v", nfs: {} }] } }, "nfs"],
    [
      "a kind of hostPath",
      { pod: { volumes: [{ name: "v", hostPath: { path: "/", type: "BlockDevice" } }] } },
      "BlockDevice",
    ],
    [
      "a propagation",
      {
        pod: { volumes: [{ name: "v", emptyDir: {} }] },
        container: { volumeMounts: [{ name: "v", mountPath: "/v", mountPropagation: "Shared" }] },
      },
      "Shared",
    ],
    ["a volume that is not there", { container: { volumeMounts: [{ name: "v", mountPath: "/v" }] } }, "no volume v"],
    ["a field of the security context", { container: { securityContext: { procMount: "Unmasked" } } }, "procMount"],
    ["a kind of seccomp profile", { container: { securityContext: { seccompProfile: { type: "Mine" } } } }, "Mine"],
    ["a kind of probe", { container: { readinessProbe: { exec: {} } } }, "exec"],
    ["a port's name", { container: { readinessProbe: { tcpSocket: { port: "nope" } } } }, "nope"],
    ["a quantity", { container: { resources: { limits: { memory: "1 lot" } } } }, "1 lot"],
    ["a resource", { container: { resources: { limits: { "nvidia.com/gpu": 1 } } } }, "nvidia.com/gpu"],
    [
      "a field of the downward API",
      { container: { env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } }] } },
      "status.hostIP",
    ],
    [
      "a source of a variable",
      { container: { env: [{ name: "A", valueFrom: { resourceFieldRef: {} } }] } },
      "resourceFieldRef",
    ],
    [
      "a Secret's key",
      { container: { env: [{ name: "A", valueFrom: { secretKeyRef: { name: "keys", key: "no" } } }] } },
      "keys/no",
    ],
    ["a variable in a variable", { container: { env: [{ name: "A", value: "$(B)" }] } }, "another variable"],
    ["root that must not be", { container: { securityContext: { runAsNonRoot: true } } }, "runAsNonRoot"],
  ])("fails loudly: %s", (_what, spec, said) => {
    expect(() => translate(spec)).toThrow(UnknownField);
    expect(() => translate(spec)).toThrow(said);
  });

  it("fails loudly: another kind of object", () => {
    expect(() => translatePod({ kind: "Deployment", metadata: {}, spec: {} }, KUBELET)).toThrow("Deployment");
  });
});

describe("a pod", () => {
  it("gets the kubelet's names, labels, log folder and cgroup", () => {
    expect(translate({ pod: { terminationGracePeriodSeconds: 7 } })).toMatchObject({
      gracePeriodSeconds: 7,
      sandbox: {
        metadata: { name: "cdh-x1", namespace: "observe", uid: KUBELET.podUid },
        log_directory: `/logs/observe_cdh-x1_${KUBELET.podUid}`,
        labels: { app: "x", "io.kubernetes.pod.name": "cdh-x1" },
        annotations: { note: "y" },
        linux: { cgroup_parent: `/here/kubepods/burstable/pod${KUBELET.podUid}` },
      },
    });
  });

  it("shares the node's namespaces only where it asks for them, in the sandbox and in the containers", () => {
    const own = { network: 0, pid: 1, ipc: 0 };
    const all = { network: 2, pid: 2, ipc: 2 };
    for (const [pod, wanted] of [
      [{}, own],
      [{ hostNetwork: true, hostPID: true, hostIPC: true }, all],
    ] as const) {
      const { sandbox, containers } = translate({ pod });
      expect(sandbox.linux.security_context.namespace_options).toEqual(wanted);
      expect(containers[0]?.config.linux.security_context.namespace_options).toEqual(wanted);
    }
  });

  it("is privileged as soon as one of its containers is", () => {
    expect(translate({}).sandbox.linux.security_context.privileged).toBeUndefined();
    const { sandbox } = translate({ container: { securityContext: { privileged: true } } });
    expect(sandbox.linux.security_context.privileged).toBe(true);
  });

  it("has its volumes on the node: hostPath as it is, Secrets and ConfigMaps as files", () => {
    const { hostPaths, files, containers } = translate({
      pod: {
        volumes: [
          { name: "root", hostPath: { path: "/", type: "Directory" } },
          { name: "ca", configMap: { name: "ca", items: [{ key: "ca.pem", path: "ca.crt" }] } },
          { name: "keys", secret: { secretName: "keys", defaultMode: 0o400 } },
        ],
      },
      container: {
        volumeMounts: [
          { name: "root", mountPath: "/host", mountPropagation: "HostToContainer" },
          { name: "ca", mountPath: "/ca", subPath: "ca.crt" },
        ],
      },
    });
    expect(hostPaths).toEqual([{ path: "/", type: "Directory" }]);
    expect(files).toEqual([
      { path: "/volumes/ca/ca.crt", content: "PEM", mode: 0o644 },
      { path: "/volumes/keys/user", content: "me", mode: 0o400 },
      { path: "/volumes/keys/password", content: "x", mode: 0o400 },
    ]);
    expect(containers[0]?.config.mounts).toEqual([
      { host_path: "/", container_path: "/host", propagation: 1 },
      { host_path: "/volumes/ca/ca.crt", container_path: "/ca", readonly: true, propagation: 0 },
    ]);
  });

  it("goes without a key that an optional volume names and nobody has set, and without no other", () => {
    const items = [
      { key: "user", path: "user" },
      { key: "token", path: "token" },
    ];
    const filesWith = (secret: object): unknown =>
      translate({ pod: { volumes: [{ name: "keys", secret: { secretName: "keys", items, ...secret } }] } }).files;
    expect(filesWith({ optional: true })).toEqual([{ path: "/volumes/keys/user", content: "me", mode: 0o644 }]);
    expect(filesWith({ optional: true, secretName: "none" })).toEqual([]);
    expect(() => filesWith({})).toThrow(/there is no key token/);
  });

  it("gets the service account unless it does not want one", () => {
    const kubelet = { serviceAccount: { token: "t" } };
    const mounts = (automountServiceAccountToken: boolean): unknown[] =>
      first({ pod: { automountServiceAccountToken }, kubelet }).config.mounts;
    expect(mounts(false)).toEqual([]);
    expect(mounts(true)).toEqual([
      {
        host_path: "/volumes/kube-api-access",
        container_path: "/var/run/secrets/kubernetes.io/serviceaccount",
        readonly: true,
        propagation: 0,
      },
    ]);
  });
});

it("a container has the service account where it mounts the volume", () => {
  const sources = [
    { serviceAccountToken: { path: "token" } },
    { configMap: { name: "kube-root-ca.crt" } },
    { downwardAPI: { items: [] } },
  ];
  const pod = { automountServiceAccountToken: false, volumes: [{ name: "account", projected: { sources } }] };
  const mount = { name: "account", mountPath: "/token", readOnly: true };
  const kubelet = { serviceAccount: { token: "t" } };
  expect(first({ pod, kubelet, container: { volumeMounts: [mount] } }).config.mounts).toEqual([
    { host_path: "/volumes/account", container_path: "/token", readonly: true, propagation: 0 },
  ]);
  const other = { ...pod, volumes: [{ name: "account", projected: { sources: sources.slice(1) } }] };
  expect(() => first({ pod: other, kubelet })).toThrow(/is no service account/);
});

describe("a container", () => {
  it("gets its environment in the kubelet's order", () => {
    expect(
      envs({
        kubelet: { apiServer: { host: "10.0.0.1", port: 443 } },
        container: {
          envFrom: [{ secretRef: { name: "keys" }, prefix: "K_" }, { configMapRef: { name: "none", optional: true } }],
          env: [
            { name: "PLAIN", value: "1" },
            { name: "EMPTY" },
            { name: "K_user", value: "wins" },
            { name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
            { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
            { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "password" } } },
            { name: "NONE", valueFrom: { secretKeyRef: { name: "gone", key: "x", optional: true } } },
            { name: "MAP", valueFrom: { configMapKeyRef: { name: "ca", key: "other" } } },
          ],
        },
      }),
    ).toEqual({
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      K_user: "wins",
      K_password: "x",
      PLAIN: "1",
      EMPTY: "",
      NODE: "node-1",
      LABEL: "x",
      KEY: "x",
      MAP: "no",
    });
  });

  it("has a kubelet's defaults where it says nothing", () => {
    expect(security({})).toMatchObject({ seccomp: { profile_type: 1 }, masked_paths: MASKED_PATHS });
    expect(security({})).not.toHaveProperty("no_new_privs");
    expect(security({})).not.toHaveProperty("capabilities");
  });

  it("has no more power than it asks for", () => {
    expect(
      security({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsUser: 5,
        runAsGroup: 6,
        capabilities: { drop: ["ALL"], add: ["DAC_READ_SEARCH"] },
        seccompProfile: { type: "RuntimeDefault" },
      }),
    ).toMatchObject({
      no_new_privs: true,
      readonly_rootfs: true,
      run_as_user: { value: 5 },
      run_as_group: { value: 6 },
      capabilities: { drop_capabilities: ["ALL"], add_capabilities: ["DAC_READ_SEARCH"] },
      seccomp: { profile_type: 0 },
    });
    expect(security({ privileged: true })).toMatchObject({ privileged: true });
    expect(security({ privileged: true })).not.toHaveProperty("masked_paths");
  });

  it("has shares from its request and quota and memory from its limits", () => {
    const { resources } = first({
      container: { resources: { requests: { cpu: "50m", memory: "96Mi" }, limits: { cpu: "500m", memory: "256Mi" } } },
    }).config.linux;
    expect(resources).toEqual({
      cpu_shares: 51,
      cpu_period: 100_000,
      cpu_quota: 50_000,
      memory_limit_in_bytes: 256 * 1024 * 1024,
    });
    expect([1, "1.5", "2k", "1Gi", "250m"].map((text) => parseQuantity(text, "x"))).toEqual([
      1,
      1.5,
      2000,
      2 ** 30,
      0.25,
    ]);
  });

  it("is asked on the port that its probe names", () => {
    const { probes } = first({
      container: {
        ports: [{ name: "web", containerPort: 9100 }],
        readinessProbe: { httpGet: { path: "/readyz", port: "web" }, periodSeconds: 3 },
        startupProbe: { tcpSocket: { port: 12 } },
      },
    });
    expect(probes).toEqual({
      readiness: {
        kind: "http",
        port: 9100,
        path: "/readyz",
        periodSeconds: 3,
        timeoutSeconds: 1,
        failureThreshold: 3,
      },
      startup: { kind: "tcp", port: 12, path: "/", periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 },
    });
  });
});

describeUnless(missingTools("helm"), "the chart's pod", () => {
  const pod = translatePod(only(render(STORE), "DaemonSet"), KUBELET);
  const contextOf = (name: string): SecurityConfig | undefined =>
    pod.containers.find(({ config }) => config.metadata.name === name)?.config.linux.security_context;

  it("is known in every field", () => {
    expect(pod.containers.map(({ config }) => config.metadata.name)).toEqual(["node", "upload"]);
  });

  it("has one container with all power and one with none", () => {
    expect(contextOf("node")).toMatchObject({ privileged: true, readonly_rootfs: true });
    expect(contextOf("upload")).toMatchObject({
      no_new_privs: true,
      readonly_rootfs: true,
      capabilities: { add_capabilities: [], drop_capabilities: ["ALL"] },
      seccomp: { profile_type: 0 },
      namespace_options: { network: 0, pid: 1, ipc: 0 },
    });
  });
});
