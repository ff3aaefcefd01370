import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { apiSettings } from "../../packages/cdh-api/src/settings.ts";
import type { SettingsTable } from "../../packages/core/src/service/config.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { envOf, only, render, STORE, type Container, type Manifest, type PodSpec, type Rendered } from "./helm.ts";
import { findOpenApi, writeCustomSchemas, writeSchemas } from "./kubernetes-schemas.ts";

const every = parse(readFileSync(join(import.meta.dirname, "every-api.yaml"), "utf8")) as Record<string, unknown>;
/** The one switch. */
const ON = { ...STORE, api: { enabled: true } };
const withApi = (api: object, more: object = {}): Rendered =>
  render({ ...STORE, ...more, api: { enabled: true, ...api } });

function podOfApi(rendered: Rendered): PodSpec {
  return (only(rendered, "Deployment")["spec"] as { template: { spec: PodSpec } }).template.spec;
}

function apiContainer(rendered: Rendered): Container {
  const [container] = podOfApi(rendered).containers;
  if (container === undefined) throw new Error("no container");
  return container;
}

function named(rendered: Rendered, kind: string, name: string): Manifest {
  const found = rendered.objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) {
    throw new Error(
      `no ${kind} ${name}: ${rendered.refused}${rendered.objects.map((one) => one.metadata.name).join(" ")}`,
    );
  }
  return found;
}

/** Objects that are there with the second values and not with the first, as `Kind name`. */
function added(before: object, after: object): string[] {
  const names = (values: object): string[] => {
    const rendered = render(values);
    expect(rendered.refused).toBe("");
    return rendered.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  };
  const known = names(before);
  return names(after)
    .filter((name) => !known.includes(name))
    .sort();
}

describeUnless(missingTools("helm"), "the API", () => {
  it("is off by default: not one object, not one word of it", () => {
    expect(render(STORE).text).not.toMatch(/cdh-api|core-dump-handler\.dev|handler-api/);
  });

  it("comes with one switch", () => {
    expect(added(STORE, ON)).toEqual([
      "APIService v1alpha1.core-dump-handler.dev",
      "ClusterRole cdh-core-dump-handler-api-events",
      "ClusterRole core-dump-handler-admin",
      "ClusterRole core-dump-handler-debuginfo",
      "ClusterRole core-dump-handler-download",
      "ClusterRole core-dump-handler-view",
      "ClusterRoleBinding cdh-core-dump-handler-api-auth",
      "ClusterRoleBinding cdh-core-dump-handler-api-events",
      "Deployment cdh-core-dump-handler-api",
      "Namespace core-dump-handler-host",
      "NetworkPolicy cdh-core-dump-handler-api",
      "PodDisruptionBudget cdh-core-dump-handler-api",
      "Role cdh-core-dump-handler-retention",
      "RoleBinding cdh-core-dump-handler-api-auth",
      "RoleBinding cdh-core-dump-handler-retention",
      "Secret cdh-core-dump-handler-api-tls",
      "Service cdh-core-dump-handler-api",
      "ServiceAccount cdh-core-dump-handler-api",
    ]);
  });

  it.each<[what: string, api: object, more: object, comes: string[]]>([
    ["retention", { retention: { enabled: true, maxAge: "1d" } }, {}, []],
    [
      "retention by namespaces",
      { retention: { enabled: true, namespaceGoneGrace: "0" } },
      {},
      ["ClusterRole", "ClusterRoleBinding"],
    ],
    [
      "a debugger's account",
      { debuginfo: { serviceAccount: { create: true } } },
      {},
      ["ClusterRoleBinding", "ServiceAccount"],
    ],
    ["an Ingress", { ingress: { enabled: true, host: "a.example.com" } }, {}, ["Ingress"]],
    ["cert-manager", { tls: { source: "certManager" } }, {}, ["Certificate", "Certificate", "Issuer", "Issuer"]],
    [
      "an issuer",
      { tls: { source: "certManager", issuerRef: { name: "ca", kind: "ClusterIssuer" } } },
      {},
      ["Certificate"],
    ],
    [
      "monitors",
      {},
      { metrics: { serviceMonitor: { enabled: true } } },
      ["Service", "ServiceMonitor", "ServiceMonitor"],
    ],
    ["a network policy", {}, { networkPolicy: { enabled: true } }, ["NetworkPolicy"]],
  ])("%s: brings just that", (_, api, more, comes) => {
    const kinds = added(ON, { ...ON, ...more, api: { enabled: true, ...api } }).map((name) => name.split(" ")[0]);
    expect(kinds).toEqual(comes);
  });

  it.each<[what: string, api: object, goes: string[]]>([
    ["no aggregation", { aggregation: false }, ["APIService", "RoleBinding"]],
    [
      "no roles for people",
      { userRoles: { create: false } },
      ["ClusterRole", "ClusterRole", "ClusterRole", "ClusterRole"],
    ],
    ["no network policy", { networkPolicy: { enabled: false } }, ["NetworkPolicy"]],
    ["a namespace of one's own", { createHostNamespace: false }, ["Namespace"]],
    ["a service account of one's own", { serviceAccount: { create: false, name: "mine" } }, ["ServiceAccount"]],
    [
      "a certificate of one's own",
      { tls: { source: "secret", existingSecret: "mine", caBundle: "BEGIN CERTIFICATE" } },
      ["Secret"],
    ],
  ])("%s: takes just that", (_, api, goes) => {
    expect(added({ ...STORE, api: { enabled: true, ...api } }, ON).map((name) => name.split(" ")[0])).toEqual(goes);
  });

  it("runs without any privilege, on a root that it cannot write, in no namespace of the node", () => {
    const rendered = render(ON);
    expect(podOfApi(rendered)).toMatchObject({
      hostNetwork: false,
      hostPID: false,
      hostIPC: false,
      serviceAccountName: "cdh-core-dump-handler-api",
    });
    expect(apiContainer(rendered).securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    });
    for (const values of [ON, every]) {
      for (const volume of podOfApi(render(values)).volumes) expect(volume).not.toHaveProperty("hostPath");
    }
  });

  it("reads a volume as its files' owner, and not to write when it may only read", () => {
    const mount = (readOnly: boolean): unknown =>
      apiContainer(
        render({ store: { pvc: { existingClaim: "c", subPath: "a" } }, api: { enabled: true, store: { readOnly } } }),
      ).volumeMounts.find(({ name }) => name === "store");
    expect(mount(false)).toEqual({ name: "store", mountPath: "/store", subPath: "a", readOnly: false });
    expect(mount(true)).toMatchObject({ readOnly: true });
    const { securityContext } = apiContainer(
      render({ store: { nfs: { server: "nas", path: "/c" } }, api: { enabled: true } }),
    );
    expect(securityContext).toMatchObject({ runAsUser: 0, capabilities: { drop: ["ALL"] } });
    expect(securityContext?.["capabilities"]).not.toHaveProperty("add");
  });

  it("on OpenShift runs as whom the platform says, over a volume as root by a right of its own", () => {
    const openshift = (values: object): Rendered => render({ ...ON, ...values }, { files: ["openshift"] });
    const { securityContext } = apiContainer(openshift({}));
    expect(securityContext).toMatchObject({ runAsNonRoot: true });
    expect(Object.keys(securityContext ?? {})).not.toEqual(expect.arrayContaining(["runAsUser"]));
    const constraints = (values: object): string[] =>
      openshift(values).objects.flatMap(({ kind, metadata }) =>
        kind === "SecurityContextConstraints" ? metadata.name : [],
      );
    expect(constraints({})).toHaveLength(1);
    expect(constraints({ store: { pvc: { existingClaim: "c" } } })).toHaveLength(2);
  });

  it("is not taken for the DaemonSet's pods, nor the other way round", () => {
    const rendered = render(every);
    const selectors = ["Deployment", "DaemonSet"].map(
      (kind) =>
        (only(rendered, kind)["spec"] as { selector: { matchLabels: Record<string, string> } }).selector.matchLabels,
    );
    const labels = ["Deployment", "DaemonSet"].map(
      (kind) =>
        (only(rendered, kind)["spec"] as { template: { metadata: { labels: Record<string, string> } } }).template
          .metadata.labels,
    );
    for (const [at, selector] of selectors.entries()) {
      expect(labels[at]).toMatchObject(selector);
      expect(labels[1 - at]).not.toMatchObject(selector);
    }
    for (const { kind, spec } of rendered.objects as (Manifest & { spec?: { selector?: Record<string, string> } })[]) {
      if (kind === "Service" && spec?.selector?.["app.kubernetes.io/component"] === "api") {
        expect(labels[1]).not.toMatchObject(spec.selector);
      }
    }
  });

  it("takes keys of its own", () => {
    const secretOf = (rendered: Rendered): unknown =>
      apiContainer(rendered).env?.find(({ name }) => name === "S3_SECRET")?.valueFrom?.["secretKeyRef"]?.["name"];
    expect(secretOf(render(every))).toBe("keys-of-the-api");
    expect(secretOf(withApi({}, { store: { existingSecret: "keys" } }))).toBe("keys");
    expect(secretOf(render(ON))).toBeUndefined();
  });
});

describeUnless(missingTools("helm"), "the API's certificate", () => {
  const text = (rendered: Rendered, key: string): string => {
    const data = named(rendered, "Secret", "cdh-core-dump-handler-api-tls")["data"] as Record<string, string>;
    return Buffer.from(data[key] ?? "", "base64").toString();
  };

  it("is for the Service's names, signed by the authority that kube-apiserver is told", () => {
    const rendered = render(ON);
    const authority = new X509Certificate(text(rendered, "ca.crt"));
    const certificate = new X509Certificate(text(rendered, "tls.crt"));
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(authority.ca).toBe(true);
    expect(certificate.ca).toBe(false);
    const service = only(rendered, "APIService")["spec"] as {
      caBundle: string;
      service: { name: string; namespace: string };
    };
    expect(certificate.checkHost(`${service.service.name}.${service.service.namespace}.svc`)).toBeDefined();
    expect(Buffer.from(service.caBundle, "base64").toString()).toBe(text(rendered, "ca.crt"));
    expect(Date.parse(certificate.validTo) - Date.now()).toBeGreaterThan(9 * 365 * 86_400_000);
  });

  it("comes from cert-manager, which tells kube-apiserver", () => {
    const rendered = withApi({ tls: { source: "certManager" } });
    const service = only(rendered, "APIService") as Manifest & { metadata: { annotations: object }; spec: object };
    expect(service.metadata.annotations).toEqual({
      "cert-manager.io/inject-ca-from": "observe/cdh-core-dump-handler-api-tls",
    });
    expect(service.spec).not.toHaveProperty("caBundle");
    const { spec } = named(rendered, "Certificate", "cdh-core-dump-handler-api-tls") as unknown as {
      spec: { issuerRef: object; secretName: string };
    };
    expect(spec).toMatchObject({ issuerRef: { name: "cdh-core-dump-handler-api-ca" } });
    expect(podOfApi(rendered).volumes).toContainEqual({ name: "tls", secret: { secretName: spec.secretName } });
  });

  it("is a given Secret's", () => {
    const caBundle = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
    const rendered = withApi({ tls: { source: "secret", existingSecret: "mine", caBundle } });
    expect(podOfApi(rendered).volumes).toContainEqual({ name: "tls", secret: { secretName: "mine" } });
    expect(only(rendered, "APIService")["spec"]).toMatchObject({ caBundle: Buffer.from(caBundle).toString("base64") });
  });
});

describeUnless(missingTools("helm"), "what the API's service account may", () => {
  const rulesOf = (rendered: Rendered): Record<string, unknown> =>
    Object.fromEntries(
      rendered.objects
        .filter(({ kind, metadata }) => kind.endsWith("Role") && metadata.name.endsWith("-retention"))
        .map((role) => [role.kind, role["rules"]]),
    );
  const lease = [
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: ["cdh-core-dump-handler-retention"],
      verbs: ["get", "patch"],
    },
  ];

  it("is to ask about callers, to lead where the index is written, and what retention needs of it", () => {
    expect(rulesOf(render(ON))).toEqual({ Role: lease });
    expect(rulesOf(withApi({ index: "read" }))).toEqual({});
    expect(rulesOf(withApi({ store: { readOnly: true } }))).toEqual({});
    expect(rulesOf(withApi({ retention: { enabled: true, maxAge: "1d" } }))).toEqual({ Role: lease });
    const get = (...resources: string[]): object => ({
      Role: lease,
      ClusterRole: [{ apiGroups: [""], resources, verbs: ["get"] }],
    });
    expect(rulesOf(withApi({ retention: { enabled: true, namespaceGoneGrace: "1d" } }))).toEqual(get("namespaces"));
    expect(rulesOf(withApi({ retention: { enabled: true, podGoneGrace: 0 } }))).toEqual(get("namespaces", "pods"));
    expect(rulesOf(withApi({ index: "off", retention: { enabled: false, podGoneGrace: 0 } }))).toEqual({});
    expect(rulesOf(withApi({ retention: { enabled: false, podGoneGrace: 0 } }))).toEqual({ Role: lease });
  });

  it("is to write an Event on a workload, where that is wanted", () => {
    const role = (rendered: Rendered): unknown =>
      rendered.objects.find(({ kind, metadata }) => kind === "ClusterRole" && metadata.name.endsWith("-api-events"))?.[
        "rules"
      ];
    expect(role(render(ON))).toEqual([
      { apiGroups: [""], resources: ["events"], verbs: ["create"] },
      { apiGroups: ["apps"], resources: ["deployments", "statefulsets", "daemonsets", "replicasets"], verbs: ["get"] },
      { apiGroups: ["batch"], resources: ["jobs", "cronjobs"], verbs: ["get"] },
    ]);
    expect(role(withApi({ groupEvents: false }))).toBeUndefined();
  });

  it("is bound to that account, and to no other", () => {
    const bindings = render(every).objects.filter(
      ({ kind, metadata }) => kind.endsWith("Binding") && /-(api-auth|retention)$/.test(metadata.name),
    );
    expect(
      bindings.map(({ kind, metadata, ...rest }) => [
        kind,
        (metadata as { namespace?: string }).namespace,
        (rest["roleRef"] as { name: string }).name,
      ]),
    ).toEqual(
      expect.arrayContaining([
        ["ClusterRoleBinding", undefined, "system:auth-delegator"],
        ["ClusterRoleBinding", undefined, "cdh-core-dump-handler-retention"],
        ["RoleBinding", "kube-system", "extension-apiserver-authentication-reader"],
        ["RoleBinding", "observe", "cdh-core-dump-handler-retention"],
      ]),
    );
    for (const binding of bindings) {
      expect(binding["subjects"]).toEqual([
        { kind: "ServiceAccount", name: "cdh-core-dump-handler-api", namespace: "observe" },
      ]);
    }
  });
});

describeUnless(missingTools("helm"), "roles for people", () => {
  it("each allow what the one before does, and what it is named after", () => {
    const rendered = render(ON);
    const allowed = (right: string): string[] => {
      const { rules } = named(rendered, "ClusterRole", `core-dump-handler-${right}`) as unknown as {
        rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
      };
      expect(rules.every(({ apiGroups }) => apiGroups.join() === "core-dump-handler.dev")).toBe(true);
      return rules.flatMap(({ resources, verbs }) => resources.flatMap((one) => verbs.map((verb) => `${verb} ${one}`)));
    };
    const groups = ["get crashgroups", "list crashgroups", "watch crashgroups"];
    const view = ["get coredumps", "list coredumps", "watch coredumps", "get coredumps/report", ...groups];
    const files = [
      ...["executable", "debuginfo", "dwp", "section"].map((part) => `get buildid/${part}`),
      "list metadata",
    ];
    expect(allowed("debuginfo").sort()).toEqual(files.toSorted());
    const download = [
      ...view,
      ...files,
      "patch crashgroups",
      "get coredumps/bundle",
      "get coredumps/core",
      "create coredumps/link",
    ];
    expect(allowed("view").sort()).toEqual([...view].sort());
    expect(allowed("download").sort()).toEqual([...download].sort());
    const admin = [...download, "patch coredumps", "delete coredumps", "deletecollection coredumps"];
    expect(allowed("admin").sort()).toEqual(admin.sort());
  });

  it("go into Kubernetes' own only when asked", () => {
    const into = (rendered: Rendered, right: string): string[] =>
      Object.keys(named(rendered, "ClusterRole", `core-dump-handler-${right}`).metadata.labels ?? {}).flatMap(
        (label) => /aggregate-to-(\w+)$/.exec(label)?.[1] ?? [],
      );
    for (const right of ["view", "download", "admin"]) expect(into(render(ON), right)).toEqual([]);
    expect(into(render(every), "view")).toEqual(["view", "edit", "admin"]);
    expect(into(render(every), "download")).toEqual(["edit", "admin"]);
    expect(into(render(every), "admin")).toEqual(["admin"]);
  });
});

describeUnless(missingTools("helm"), "the environment of the API", () => {
  const COMMON = ["LOG_LEVEL", "LOG_FORMAT", "POD_NAME", "POD_NAMESPACE", "GOOGLE_APPLICATION_CREDENTIALS"];
  /** Settings that the chart does not set: their default is right in a pod, or they are for uploads. */
  const NOT_IN_CHART = ["PART_SIZE", "PART_CONCURRENCY", "STORE_TIMEOUT", "BANDWIDTH_LIMIT"];
  const names = (table: SettingsTable): string[] => Object.values(table).map(({ env }) => env);
  const namesOf = (container: Container): string[] => (container.env ?? []).map(({ name }) => name);

  it.each([
    ["the least", ON],
    ["everything", every],
  ])("%s: each name is a setting, each once, and each text is read", (_, values) => {
    const container = apiContainer(render(values));
    const given = namesOf(container);
    expect(new Set(given).size).toBe(given.length);
    const known = [...COMMON, "AWS_REGION", ...names(apiSettings)];
    expect(given.filter((name) => !known.includes(name))).toEqual([]);
    const env = envOf(container);
    for (const { env: name, parse: read } of Object.values(apiSettings as SettingsTable)) {
      const value = env[name];
      if (value !== undefined) expect(() => read(value), `${name}=${value}`).not.toThrow();
    }
  });

  it("covers every setting, but those whose default is right in a pod", () => {
    const more = {
      ...every,
      store: {
        ...STORE.store,
        url: "",
        bucket: "b",
        forcePathStyle: true,
        sse: "AES256",
        sseKmsKeyId: "k",
        storageClass: "s",
        checksum: "none",
        endpoint: "https://s3.example.com",
        azure: {
          account: "a",
          endpoint: "https://a.example",
          accessTier: "Cool",
          encryptionScope: "s",
          blobTags: "a=b",
        },
        gcs: { endpoint: "https://g.example", kmsKey: "k", storageClass: "NEARLINE", acls: "allow" },
      },
    };
    const azure = { ...every, store: { url: "azblob://cores", existingSecret: "keys" } };
    const given = [every, more, azure].flatMap((values) => namesOf(apiContainer(render(values))));
    expect(
      names(apiSettings)
        .filter((name) => !given.includes(name))
        .sort(),
    ).toEqual([...NOT_IN_CHART].sort());
  });

  it("says large numbers and maps as they are read", () => {
    const env = envOf(apiContainer(render(every)));
    expect(env["RETENTION_MAX_BYTES"]).toBe("1099511627776");
    expect(env["RETENTION_POD_GONE_GRACE"]).toBe("0");
    const rules = apiSettings.retentionNamespaces.parse(env["RETENTION_NAMESPACES"] ?? "");
    expect([...rules]).toEqual([
      ["shop", { maxAgeMs: 90 * 86_400_000, maxCount: 5, maxBytes: 10 * 1024 ** 3 }],
      ["test-*", { maxAgeMs: null }],
    ]);
  });
});

describeUnless(missingTools("helm"), "values of the API that cannot work", () => {
  it.each<[what: string, values: object, says: RegExp]>([
    ["retention alone", { ...STORE, api: { retention: { enabled: true } } }, /retention\.enabled needs api\.enabled/],
    ["an Ingress alone", { ...STORE, api: { ingress: { enabled: true } } }, /ingress\.enabled needs api\.enabled/],
    ["no store", { upload: { enabled: false }, api: { enabled: true } }, /there is no store to read/],
    [
      "a directory without a volume",
      { store: { url: "file:///x" }, daemonset: { extraVolumes: [{ name: "x" }] }, api: { enabled: true } },
      /the API has no volume for it/,
    ],
    [
      "no Secret",
      { ...STORE, api: { enabled: true, tls: { source: "secret" } } },
      /existingSecret names none[^]*caBundle is needed/,
    ],
    ["one port twice", { ...STORE, api: { enabled: true, port: 9120 } }, /are both 9120/],
    [
      "a page under every name",
      { ...STORE, api: { enabled: true, ingress: { enabled: true } } },
      /ingress\.host is needed/,
    ],
    [
      "retention without limits",
      { ...STORE, api: { enabled: true, retention: { enabled: true } } },
      /nothing says what may be removed/,
    ],
    [
      "retention of what may only be read",
      { ...STORE, api: { enabled: true, store: { readOnly: true }, retention: { enabled: true, maxAge: "1d" } } },
      /cannot remove anything/,
    ],
    [
      "a misspelt limit",
      { ...STORE, api: { retention: { namespaces: { shop: { maxage: "1d" } } } } },
      /'maxage' not allowed/,
    ],
    ["a namespace that is none", { ...STORE, api: { hostNamespace: "_host" } }, /hostNamespace.*does not match/],
    ["a source that is none", { ...STORE, api: { tls: { source: "magic" } } }, /source.*must be one of/],
  ])("%s: refused, with what to do", (_, values, says) => {
    expect(render(values).refused).toMatch(says);
  });
});

const openApi = findOpenApi();
describeUnless(
  missingTools("helm", "kubeconform", "crds") ?? openApi.reason,
  "the API's objects and the schemas of Kubernetes, strict",
  () => {
    let folder: string;
    let location: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "cdh-api-schemas-"));
      location = writeSchemas(openApi.path ?? "", folder);
      writeCustomSchemas(findTool("crds").path ?? "", folder);
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    const validate = (text: string): { status: number | null; stdout: string } =>
      spawnSync(findTool("kubeconform").path ?? "", ["-strict", "-summary", "-schema-location", location, "-"], {
        encoding: "utf8",
        // That description is older than policy/v1; v1beta1 has the same fields. The real API server is asked elsewhere.
        input: text.replaceAll("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
      });

    it.each([
      ["the least", ON],
      ["everything", every],
    ])("%s: accepted", (_, values) => {
      const { stdout, status } = validate(render(values).text);
      expect(stdout).toContain("Invalid: 0, Errors: 0, Skipped: 0");
      expect(status).toBe(0);
    });

    it.each([
      ["the APIService", "groupPriorityMinimum:", "groupPriority:"],
      ["the Deployment", "topologySpreadConstraints:", "topologySpread:"],
      ["the PodDisruptionBudget", "maxUnavailable: 1\n", "maxUnavail: 1\n"],
    ])("a field that does not exist in %s is refused", (_, right, wrong) => {
      const { text } = render(every);
      expect(text).toContain(right);
      expect(validate(text.replaceAll(right, wrong)).status).toBe(1);
    });
  },
);
