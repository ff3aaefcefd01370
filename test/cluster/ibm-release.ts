import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LABEL = { name: "core-dump-ds" };

function volume(name: string, path: string): object[] {
  return [
    {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name },
      spec: {
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Retain",
        storageClassName: "hostclass",
        hostPath: { path },
        claimRef: { namespace: "observe", name: `${name}-claim` },
      },
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: `${name}-claim`, namespace: "observe" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "hostclass",
        resources: { requests: { storage: "1Gi" } },
      },
    },
  ];
}

/** What a release of IBM's chart 9 leaves in a cluster: the same kinds, and the names that it does not let users choose. */
const OBJECTS: object[] = [
  { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "core-dump-admin", namespace: "observe" } },
  {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s3config", namespace: "observe" },
    type: "Opaque",
    stringData: { s3AccessKey: "access", s3Secret: "secret", s3BucketName: "cores", s3Region: "eu-gb" },
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "core-dump-event-reporter" },
    rules: [{ apiGroups: [""], resources: ["events"], verbs: ["create"] }],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "core-dump-event-report" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "core-dump-event-reporter" },
    subjects: [{ kind: "ServiceAccount", name: "core-dump-admin", namespace: "observe" }],
  },
  ...volume("host-volume", "/var/mnt/core-dump-handler"),
  ...volume("core-volume", "/var/mnt/core-dump-handler/cores"),
  {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "core-dump-handler", namespace: "observe" },
    spec: {
      selector: { matchLabels: LABEL },
      template: {
        metadata: { labels: LABEL },
        spec: {
          serviceAccountName: "core-dump-admin",
          containers: [
            {
              name: "coredump-container",
              image: "example.com/icdh/core-dump-handler:v9.0.0",
              securityContext: { privileged: true },
              volumeMounts: [
                { name: "host-volume", mountPath: "/var/mnt/core-dump-handler", mountPropagation: "Bidirectional" },
              ],
            },
          ],
          volumes: [{ name: "host-volume", persistentVolumeClaim: { claimName: "host-volume-claim" } }],
        },
      },
    },
  },
];

/** Write a chart of these objects, for helm to install. @returns its folder */
export function writeIbmChart(folder: string): string {
  const chart = join(folder, "ibm");
  mkdirSync(join(chart, "templates"), { recursive: true });
  writeFileSync(join(chart, "Chart.yaml"), "apiVersion: v2\nname: core-dump-handler\nversion: 9.0.0\n");
  const documents = OBJECTS.map((object) => JSON.stringify(object)).join("\n---\n");
  writeFileSync(join(chart, "templates", "all.yaml"), documents);
  return chart;
}
