import type { Manifest } from "../bundle/manifest.ts";

/** Tell whether anybody compared the core with what its headers promise. */
export function isCompletenessKnown({ core }: Pick<Manifest, "core">): boolean {
  return core.complete || core.expectedBytes !== undefined || core.truncatedBy !== undefined;
}

/** Tell whether the core's size is known: a compressed stream says it only at its end. */
export function isSizeKnown({ core }: Pick<Manifest, "core">): boolean {
  return core.sizeBytes > 0 || core.storedBytes === 0 || NOTHING_TAKEN.has(core.truncatedBy ?? "");
}

/** Why a core may have no byte, as its writer meant it. */
const NOTHING_TAKEN: ReadonlySet<string> = new Set(["rlimit", "keptEnough", "rateLimit"]);

/** Tell whether a composer died before it had written anything of the core: only that there was a crash is known. */
export function isMemoryLost({ core, problems }: Pick<Manifest, "core" | "problems">): boolean {
  return core.sizeBytes === 0 && problems.some(({ code }) => code === "CDH_SALVAGED");
}

/**
 * Say why a bundle holds nothing of the process's memory, because its core limit forbade it, because enough was kept or because
 * its composer died, and what would keep it; undefined for every other bundle.
 */
export function describeNoMemory({
  core,
  container,
  problems,
  wholeCore,
  counted,
}: Pick<Manifest, "core" | "container" | "problems" | "wholeCore" | "counted">):
  | { finding: string; advice: string }
  | undefined {
  if (isMemoryLost({ core, problems })) {
    return {
      finding: "no memory kept: the composer died before it had written any",
      advice: "the kernel's log of the node says what killed it",
    };
  }
  if (core.truncatedBy === "keptEnough") {
    return {
      finding: `no memory kept: enough whole cores of this place were${wholeCore === undefined ? "" : `, such as ${wholeCore.bundle}`}`,
      advice: "composer.keepPerSite=0 (KEEP_PER_SITE) keeps all",
    };
  }
  if (core.truncatedBy === "rateLimit") {
    return {
      finding: `no memory kept: a rate limit left ${counted?.count ?? 1} crashes out, which were counted`,
      advice: "composer.rateLimit=0 (RATE_LIMIT) keeps all",
    };
  }
  if (core.truncatedBy !== "rlimit" || core.sizeBytes > 0) return undefined;
  return {
    finding: `no memory kept: the ${container === undefined ? "process" : "container"}'s core limit is 0`,
    advice: "composer.rlimitCore=ignore (COMP_RLIMIT_CORE) keeps it",
  };
}
