import { createHash } from "node:crypto";

/** What the chart's ClusterRoles allow, each with what the one before it does. */
export const RIGHTS = ["view", "download", "admin"] as const;

/** Name one of {@link RIGHTS}. */
export type Right = (typeof RIGHTS)[number];

/** Who gets a right. */
export type Subject =
  | { kind: "Group" | "User"; name: string }
  | { kind: "ServiceAccount"; namespace: string; name: string };

/** What bindings are wanted. */
export interface BindingsRequest {
  namespaces: readonly string[];
  subjects: readonly Subject[];
  right: Right;
  /** What the names of the ClusterRoles begin with. */
  prefix: string;
}

/** Print a RoleBinding for each namespace, as YAML. Texts are quoted as JSON, which every YAML reader takes. */
export function printBindings({ namespaces, subjects, right, prefix }: BindingsRequest): string {
  return namespaces.map((namespace) => printBinding(namespace, subjects, right, prefix)).join("---\n");
}

function printBinding(namespace: string, subjects: readonly Subject[], right: Right, prefix: string): string {
  const role = `${prefix}-${right}`;
  // Applied again for others, it must not take the right away from the first ones.
  const hash = createHash("sha256").update(JSON.stringify(subjects)).digest("hex").slice(0, 8);
  return [
    "apiVersion: rbac.authorization.k8s.io/v1",
    "kind: RoleBinding",
    "metadata:",
    `  name: ${quote(`${role}-${hash}`)}`,
    `  namespace: ${quote(namespace)}`,
    "roleRef:",
    "  apiGroup: rbac.authorization.k8s.io",
    "  kind: ClusterRole",
    `  name: ${quote(role)}`,
    "subjects:",
    ...subjects.flatMap((subject) => [
      `  - kind: ${subject.kind}`,
      ...(subject.kind === "ServiceAccount"
        ? [`    namespace: ${quote(subject.namespace)}`]
        : ["    apiGroup: rbac.authorization.k8s.io"]),
      `    name: ${quote(subject.name)}`,
    ]),
    "",
  ].join("\n");
}

function quote(text: string): string {
  return JSON.stringify(text);
}
