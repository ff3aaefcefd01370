import type { Identity } from "@cdh/core/container/identify";
import type { Crash } from "@cdh/core/kernel/crash";

/**
 * Whom a crash counts for where a node is shared: its namespace and pod, as the cgroup and the records of it tell. A
 * process chooses neither. Outside of pods it is the user, as the kernel names it.
 */
export interface CrashOwner {
  namespace: string;
  pod: string;
}

/** Find the owner. What a process may have chosen, such as its host name, does not count. */
export function ownerOf(
  identity: Pick<Identity, "source" | "place" | "pod" | "container"> | undefined,
  crash: Crash,
): CrashOwner {
  const user = `user ${crash.uid ?? "unknown"}`;
  // Kubernetes allows no blank in a name, so that none of these is one.
  if (identity?.place === "host") return { namespace: "the host", pod: user };
  if (identity === undefined || identity.place === "unknown" || identity.source === "hostname")
    return { namespace: "not known", pod: user };
  const pod = identity.pod?.uid ?? identity.container?.id ?? user;
  return { namespace: identity.pod?.namespace ?? `namespace of ${pod}`, pod };
}
