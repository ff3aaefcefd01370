/** Every value of IBM's chart 9.0.0 but the image, filled in as a user would. */
export const IBM_VALUES = {
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

/** The store as its users give it. */
export const IBM_STORE = { s3AccessKey: "access", s3Secret: "secret", s3BucketName: "cores", s3Region: "eu-gb" };

/** What IBM's files for clouds set; the facts, not the files. */
export const IBM_CLOUDS: [string, Record<string, unknown>][] = [
  ["aws", { daemonset: { ...IBM_STORE, includeCrioExe: true, vendor: "rhel7" }, serviceAccount: { useToken: true } }],
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
        ...IBM_STORE,
        includeCrioExe: true,
        deployCrioConfig: true,
        vendor: "default",
        crioEndpoint: "unix:///run/dockershim.sock",
        mountContainerRuntimeEndpoint: true,
        hostContainerRuntimeEndpoint: "/run/dockershim.sock",
      },
    },
  ],
  [
    "gke-cos",
    { daemonset: { ...IBM_STORE, hostDirectory: "/home/kubernetes/bin", coreDirectory: "/home/kubernetes/cores" } },
  ],
  ["ibm", { daemonset: { ...IBM_STORE, vendor: "rhel7" } }],
  [
    "minikube",
    {
      storageClass: "standard",
      image: { tag: "latest" },
      composer: { logLevel: "Debug", coreEvents: true },
      daemonset: { ...IBM_STORE, updateStrategy: { type: "RollingUpdate" } },
    },
  ],
  [
    "openshift",
    {
      daemonset: {
        ...IBM_STORE,
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
