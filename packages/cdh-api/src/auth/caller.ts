/** Who asks, as the cluster knows them. */
export interface Caller {
  user: string;
  uid?: string;
  groups: readonly string[];
  extra: Readonly<Record<string, readonly string[]>>;
  /** How we know. */
  via: "frontProxy" | "token";
}

/** Every authenticated user is in this group, and system:discovery is given to it. */
const AUTHENTICATED = "system:authenticated";

/** Complete a caller's groups as every API server does. */
export function withAuthenticatedGroup(caller: Caller): Caller {
  const isAnonymous = caller.user === "system:anonymous" || caller.groups.includes("system:unauthenticated");
  if (isAnonymous || caller.groups.includes(AUTHENTICATED)) return caller;
  return { ...caller, groups: [...caller.groups, AUTHENTICATED] };
}

/**
 * Name whose share of a limit a user takes from: the user, or for a service account its namespace. Whoever may make
 * service accounts has as many as they like, all in namespaces of theirs.
 * @param user as the cluster names it
 */
export function shareOf(user: string): string {
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(user) ?? [];
  return namespace === undefined ? `user ${user}` : `namespace ${namespace}`;
}
