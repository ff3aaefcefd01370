import type { ComposerSettings } from "@cdh/core/composer/settings";

/** What the filters look at. */
export interface FilterFacts {
  place: "container" | "host" | "unknown";
  namespace: string | undefined;
  comm: string | undefined;
  signal: number | undefined;
  /** Undefined: could not be learnt; a selector then does not drop the crash. */
  labels: Record<string, string> | undefined;
}

/** Tell why a crash is not wanted, or undefined when it is. What is unknown never drops a crash. */
export function reasonToSkip(settings: ComposerSettings, facts: FilterFacts): string | undefined {
  const { namespace, comm, signal } = facts;
  if (signal !== undefined && settings.signalExclude.includes(signal)) return "signal excluded";
  if (comm !== undefined && settings.commExclude.includes(comm)) return "process name excluded";
  if (facts.place === "host") return settings.hostCrashes === "ignore" ? "host crash ignored" : undefined;
  if (namespace !== undefined) {
    if (settings.namespaceExclude.some((pattern) => matches(pattern, namespace))) return "namespace excluded";
    if (
      settings.namespaceInclude.length > 0 &&
      !settings.namespaceInclude.some((pattern) => matches(pattern, namespace))
    ) {
      return "namespace not included";
    }
  }
  if (
    settings.podSelectorLabel !== "" &&
    facts.labels !== undefined &&
    !selects(settings.podSelectorLabel, facts.labels)
  ) {
    return "label selector does not match";
  }
  return undefined;
}

/** Evaluate `key`, `key=value`, `key!=value` or `!key`; several, with commas between them, must all hold. */
export function selects(selector: string, labels: Record<string, string>): boolean {
  return selector.split(",").every((part) => {
    const term = part.trim();
    const unequal = /^([^=!]+)!=(.*)$/.exec(term);
    if (unequal?.[1] !== undefined) return labels[unequal[1].trim()] !== unequal[2]?.trim();
    const equal = /^([^=!]+)={1,2}(.*)$/.exec(term);
    if (equal?.[1] !== undefined) return labels[equal[1].trim()] === equal[2]?.trim();
    return term.startsWith("!") ? !Object.hasOwn(labels, term.slice(1).trim()) : Object.hasOwn(labels, term);
  });
}

function matches(pattern: string, namespace: string): boolean {
  return pattern.endsWith("*") ? namespace.startsWith(pattern.slice(0, -1)) : pattern === namespace;
}
