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
