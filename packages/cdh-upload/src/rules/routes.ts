import { isRestricted } from "@cdh/core/bundle/restricted";
import type { ObjectStore } from "@cdh/core/store/store";
import { HOST_NAMESPACE, type BundleFacts } from "../queue/bundle-facts.ts";
import type { StoreRule } from "./rules-file.ts";

/** A rule with its store, open. */
export interface Route {
  rule: StoreRule;
  store: ObjectStore;
}

/**
 * Find the rule for a bundle: the first with a pattern for its namespace. Only what the node has proven counts: what is
 * restricted, belongs to no pod, or may belong to another pod goes to no tenant.
 * @returns undefined for the default store
 */
export function routeOf(facts: BundleFacts | undefined, routes: readonly Route[]): Route | undefined {
  if (facts === undefined || routes.length === 0 || !isProven(facts)) return undefined;
  return routeOfNamespace(facts.namespace, routes);
}

/** Find the rule for what belongs to a namespace, where the node has proven that it does. */
export function routeOfNamespace(namespace: string, routes: readonly Route[]): Route | undefined {
  return routes.find(({ rule }) => rule.namespaces.some((pattern) => matches(pattern, namespace)));
}

function isProven({ namespace, manifest, unreadable, isLater }: BundleFacts): boolean {
  return (
    unreadable === undefined &&
    isLater !== true &&
    namespace !== HOST_NAMESPACE &&
    manifest.identity?.verified === true &&
    !isRestricted(manifest)
  );
}

/** Compare a name with a pattern in which `*` stands for any characters; both have 63 characters at most. */
export function matches(pattern: string, name: string): boolean {
  const [first = "", ...parts] = pattern.split("*");
  const last = parts.pop();
  if (last === undefined) return pattern === name;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
