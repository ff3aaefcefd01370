import type { Manifest } from "@cdh/core/bundle/manifest";

/**
 * Name what a crashed process belongs to, as people think of it: the Deployment, not its ReplicaSet or pod; the
 * executable for a process of the host.
 */
export function workloadOf(manifest: Manifest): string {
  const { owner, name } = manifest.pod ?? {};
  // A ReplicaSet is its Deployment and a hash of ten characters at most.
  if (owner?.kind === "ReplicaSet") return owner.name.replace(/-[bcdf-hj-np-tv-z0-9]{5,10}$/, "");
  if (owner !== undefined) return owner.name;
  if (name !== undefined) return name.replace(/-[bcdf-hj-np-tv-z0-9]{5,10}-[bcdf-hj-np-tv-z0-9]{5}$/, "");
  return manifest.process.comm ?? "unknown";
}
