import { isRecord } from "@cdh/core/base/records";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { parseJson } from "@cdh/core/json";
import { parseBytes, parseDuration } from "@cdh/core/units";

/** What is kept of a namespace. An absent limit does not limit. */
export interface RetentionRule {
  /** Remove what is older. */
  maxAgeMs?: number;
  /** Keep at most so many bundles, the newest. */
  maxCount?: number;
  /** Keep at most so many bytes in bundles and manifests, the newest first; the newest one always stays. */
  maxBytes?: number;
}

/** Everything that decides what is kept. */
export interface RetentionPolicy {
  /** For every namespace that has no rule of its own. */
  defaultRule: RetentionRule;
  /** By namespace, or by `prefix*`; a limit that is `null` is switched off there, an absent one is the default's. */
  namespaces: ReadonlyMap<string, RetentionOverride>;
  /** How long after a namespace was seen to be gone its bundles go; absent: never for that. */
  namespaceGoneGraceMs?: number;
  /** How long after a pod was seen to be gone its bundles go; absent: never for that. */
  podGoneGraceMs?: number;
  /** How long a bundle without a manifest is left alone; absent: for ever. */
  orphanGraceMs?: number;
  /** How long no bundle must have referred to a file of a program before it goes; absent: none goes. */
  filesGraceMs?: number;
  /** Only bundles of this cluster are judged; `""` means those that name none. */
  cluster: string;
}

/** What a namespace has of its own. */
export type RetentionOverride = { readonly [Limit in keyof RetentionRule]?: RetentionRule[Limit] | null };

/** Find the rule of a namespace: its own name wins over the longest matching `prefix*`, and that over the default. */
export function ruleFor(policy: RetentionPolicy, namespace: string): RetentionRule {
  const override = policy.namespaces.get(namespace) ?? longestPrefix(policy.namespaces, namespace);
  if (override === undefined) return policy.defaultRule;
  const rule: RetentionRule = {};
  for (const limit of ["maxAgeMs", "maxCount", "maxBytes"] as const) {
    const value = override[limit] === undefined ? policy.defaultRule[limit] : override[limit];
    if (value !== null && value !== undefined) rule[limit] = value;
  }
  return rule;
}

/** Tell whether anything can ever be removed. */
export function limitsAnything(policy: RetentionPolicy): boolean {
  const rules: RetentionOverride[] = [policy.defaultRule, ...policy.namespaces.values()];
  return (
    needsKubernetes(policy) ||
    policy.orphanGraceMs !== undefined ||
    policy.filesGraceMs !== undefined ||
    rules.some((rule) => Object.values(rule).some((limit) => limit !== null && limit !== undefined))
  );
}

/** Tell whether the API server has to be asked what still exists. */
export function needsKubernetes(policy: RetentionPolicy): boolean {
  return policy.namespaceGoneGraceMs !== undefined || policy.podGoneGraceMs !== undefined;
}

function longestPrefix(namespaces: RetentionPolicy["namespaces"], namespace: string): RetentionOverride | undefined {
  let best: { length: number; override: RetentionOverride } | undefined;
  for (const [name, override] of namespaces) {
    if (!name.endsWith("*") || !namespace.startsWith(name.slice(0, -1))) continue;
    if (name.length > (best?.length ?? 0)) best = { length: name.length, override };
  }
  return best?.override;
}

/** Read how many bundles are kept: a whole number of at least 1. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseCount(text: string): number {
  const count = Number(text.trim());
  if (!/^\d+$/.test(text.trim()) || count < 1 || !Number.isSafeInteger(count))
    throw new CdhError("CDH_CONFIG_INVALID", "not a whole number of at least 1");
  return count;
}

const READERS = {
  maxAge: ["maxAgeMs", (text: string) => positive(parseDuration(text, "s"))],
  maxCount: ["maxCount", parseCount],
  maxBytes: ["maxBytes", (text: string) => positive(parseBytes(text))],
} as const satisfies Record<string, readonly [keyof RetentionRule, (text: string) => number]>;

/**
 * Read `{"shop": {"maxAge": "30d", "maxCount": 100, "maxBytes": "10Gi"}, "team-*": {"maxAge": "off"}}`.
 * @throws {CdhError} CDH_CONFIG_INVALID with all problems at once
 */
export function parseNamespaceRules(text: string): Map<string, RetentionOverride> {
  const rules = new Map<string, RetentionOverride>();
  if (text.trim() === "") return rules;
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new CdhError("CDH_CONFIG_INVALID", `no JSON: ${reasonOf(error)}`);
  }
  if (!isRecord(value)) throw new CdhError("CDH_CONFIG_INVALID", "no JSON object of namespaces");
  const problems: string[] = [];
  for (const [namespace, limits] of Object.entries(value)) {
    // What begins with an underscore is no namespace: `_host`, for instance, is shown under HOST_NAMESPACE.
    if (!/^([a-z0-9]([-a-z0-9]*[a-z0-9])?|[a-z0-9]?[-a-z0-9]*\*)$/.test(namespace)) {
      problems.push(`${JSON.stringify(namespace)} is no namespace`);
    } else if (!isRecord(limits)) problems.push(`${namespace} has no object of limits`);
    else rules.set(namespace, readOverride(namespace, limits, problems));
  }
  if (problems.length > 0) throw new CdhError("CDH_CONFIG_INVALID", problems.join(", "));
  return rules;
}

function readOverride(namespace: string, limits: Record<string, unknown>, problems: string[]): RetentionOverride {
  const override: Record<string, number | null> = {};
  for (const [name, limit] of Object.entries(limits)) {
    const reader = Object.hasOwn(READERS, name) ? READERS[name as keyof typeof READERS] : undefined;
    if (reader === undefined) {
      problems.push(`${namespace}.${name} is none of ${Object.keys(READERS).join(", ")}`);
    } else if (limit === null || limit === "off") override[reader[0]] = null;
    else if (typeof limit !== "string" && typeof limit !== "number") problems.push(`${namespace}.${name} is no text`);
    else {
      try {
        override[reader[0]] = reader[1](String(limit));
      } catch (error) {
        problems.push(`${namespace}.${name} ${JSON.stringify(limit)}: ${reasonOf(error)}`);
      }
    }
  }
  return override;
}

/** Refuse zero: it would mean "keep nothing", and is far more often a slip. @throws {CdhError} CDH_CONFIG_INVALID */
export function positive(value: number): number {
  if (value > 0) return value;
  throw new CdhError("CDH_CONFIG_INVALID", "it must be more than 0");
}
