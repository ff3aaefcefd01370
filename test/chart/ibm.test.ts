import { expect, it } from "vitest";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, only, podOf, render } from "./helm.ts";

/** Every value of IBM's chart 9.0.0 but the image, filled in as a user would. */
const ALL = {
  replicaCount: 1,
  image: {
    pullPolicy: "Always",
    pullSecrets: [],
    request_mem: "64Mi",
    request_cpu: "250m",
    limit_mem: "128Mi",
    limit_cpu: "500m",
  },
  imagePullSecrets: [],
  nameOverride: "",
  fullnameOverride: "",
  hostStorage: "1Gi",
  coreStorage: "10Gi",
  eventStorage: "1Gi",
  storageClass: "hostclass",
  composer: {
    ignoreCrio: false,
    includeProcInfo: true,
    crioImageCmd: "img",
    logLevel: "Warn",
    filenameTemplate: "{uuid}-dump-{timestamp}-{hostname}-{exe_name}-{pid}-{signal}",
    logLength: 500,
    podSelectorLabel: "",
    timeout: 600,
    compression: true,
    coreEvents: false,
  },
  daemonset: {
    podAnnotations: {},
    name: "core-dump-handler",
    label: "core-dump-ds",
    hostDirectory: "/var/mnt/core-dump-handler",
    coreDirectory: "/var/mnt/core-dump-handler/cores",
    eventDirectory: "/var/mnt/core-dump-handler/events",
    crioEndpoint: "unix:///run/containerd/containerd.sock",
    mountContainerRuntimeEndpoint: false,
    hostContainerRuntimeEndpoint: "/run/containerd/containerd.sock",
    suidDumpable: 2,
    vendor: "default",
    useINotify: true,
    deployCrioConfig: false,
    includeCrioExe: false,
    manageStoreSecret: true,
    s3AccessKey: "access",
    s3Secret: "secret",
    s3BucketName: "cores",
    s3Region: "eu-gb",
    extraEnvVars: "- name: S3_ENDPOINT\n  value: https://s3.eu-gb.cloud-object-storage.appdomain.cloud\n",
    envFrom: [],
    sidecarContainers: [],
    updateStrategy: {},
  },
  serviceAccount: {
    create: true,
    name: "core-dump-admin",
    annotations: {},
    useToken: false,
    tokenSecretName: "core-dump-service-account-token",
  },
  scc: { create: false, name: "core-dump-admin-privileged" },
  clusterRole: { name: "core-dump-event-reporter" },
  clusterRoleBinding: { name: "core-dump-event-report" },
  nodeSelector: {},
  affinity: {},
  tolerations: [],
  priorityClassName: "",
};

const S3 = { s3AccessKey: "access", s3Secret: "secret", s3BucketName: "cores", s3Region: "eu-gb" };

/** What IBM's files for clouds set; the facts, not the files. */
const CLOUDS: [string, Record<string, unknown>][] = [
  ["aws", { daemonset: { ...S3, includeCrioExe: true, vendor: "rhel7" }, serviceAccount: { useToken: true } }],
  [
    "aws.sts",
    {
      daemonset: { s3BucketName: "cores", s3Region: "us-east-1", includeCrioExe: true, vendor: "rhel7" },
      serviceAccount: { annotations: { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r" } },
    },
  ],
  [
    "aws.bottlerocket",
    {
      daemonset: {
        ...S3,
        includeCrioExe: true,
        deployCrioConfig: true,
        vendor: "default",
        crioEndpoint: "unix:///run/dockershim.sock",
        mountContainerRuntimeEndpoint: true,
        hostContainerRuntimeEndpoint: "/run/dockershim.sock",
      },
    },
  ],
  ["gke-cos", { daemonset: { ...S3, hostDirectory: "/home/kubernetes/bin", coreDirectory: "/home/kubernetes/cores" } }],
  ["ibm", { daemonset: { ...S3, vendor: "rhel7" } }],
  [
    "minikube",
    {
      storageClass: "standard",
      image: { tag: "latest" },
      composer: { logLevel: "Debug", coreEvents: true },
      daemonset: { ...S3, updateStrategy: { type: "RollingUpdate" } },
    },
  ],
  [
    "openshift",
    {
      daemonset: {
        ...S3,
        hostDirectory: "/mnt/core-dump-handler",
        coreDirectory: "/mnt/core-dump-handler/cores",
        vendor: "default",
      },
      composer: { crioImageCmd: "images" },
      serviceAccount: { create: true },
      scc: { create: true },
    },
  ],
];

describeUnless(missingTools("helm"), "values of IBM's chart", () => {
  it("are all accepted, and mean what they meant", () => {
    const rendered = render(ALL);
    expect(rendered.refused).toBe("");
    expect(only(rendered, "DaemonSet").metadata.name).toBe("core-dump-handler");
    const node = envOf(containerOf(rendered, "node"));
    expect(node).toMatchObject({
      HOST_DIR: "/var/mnt/core-dump-handler",
      CORE_DIR: "/var/mnt/core-dump-handler/cores",
      SUID_DUMPABLE: "2",
      COMP_LOG_LEVEL: "Warn",
      COMP_INCLUDE_PROC_INFO: "true",
      COMP_CRIO_IMAGE_CMD: "img",
      COMP_COMPRESSION: "true",
      COMP_TIMEOUT: "600",
    });
    const upload = containerOf(rendered, "upload");
    expect(envOf(upload)).toMatchObject({
      USE_INOTIFY: "true",
      S3_ENDPOINT: "https://s3.eu-gb.cloud-object-storage.appdomain.cloud",
    });
    expect(upload.resources).toEqual({
      requests: { cpu: "250m", memory: "64Mi" },
      limits: { cpu: "500m", memory: "128Mi" },
    });
    expect(only(rendered, "Secret")).toMatchObject({ metadata: { name: "s3config" }, stringData: S3 });
    expect(only(rendered, "ClusterRole").metadata.name).toBe("core-dump-event-reporter");
    expect(only(rendered, "ClusterRoleBinding").metadata.name).toBe("core-dump-event-report");
  });

  it.each(CLOUDS)("are accepted as its file for %s sets them", (_, values) => {
    expect(render(values).refused).toBe("");
  });

  it("keep the selector, so that its release can be upgraded", () => {
    const spec = only(render(ALL), "DaemonSet")["spec"] as { selector: unknown };
    expect(spec.selector).toEqual({ matchLabels: { name: "core-dump-ds" } });
  });

  it("no longer bring PersistentVolumes, nor mounts that reach the node", () => {
    const rendered = render(ALL);
    expect(rendered.objects.map(({ kind }) => kind)).not.toContain("PersistentVolume");
    expect(rendered.text).not.toMatch(/mountPropagation: Bidirectional|persistentVolumeClaim/);
    expect(podOf(rendered).volumes.map(({ hostPath }) => hostPath?.type)).toEqual(["Directory", "DirectoryOrCreate"]);
  });

  it("take crictl from the node only where the image has one", () => {
    const [, values] = CLOUDS[0] ?? ["", {}];
    expect(envOf(containerOf(render(values), "node"))["DEPLOY_CRIO_EXE"]).toBe("false");
  });
});
