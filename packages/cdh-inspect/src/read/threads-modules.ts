import type { ModuleFacts, Problem, ThreadFacts } from "@cdh/core/bundle/manifest";
import { describeModules, describeThreads } from "@cdh/core/bundle/manifest-from-core";
import type { OpenedFile } from "./opened-file.ts";

/** The threads and modules of a crash. */
export interface ThreadsAndModules {
  threads: ThreadFacts[];
  modules: ModuleFacts[];
  /** Why one of the lists may not be whole. */
  remarks: { threads: string[]; modules: string[] };
}

/**
 * Get the threads and modules: the composer's, else the core's own.
 * @throws {CdhError} the CDH_BUNDLE family when neither is there
 */
export async function threadsAndModules(opened: OpenedFile): Promise<ThreadsAndModules> {
  const { threads, modules, problems } = opened.manifest;
  // What an older bundle's manifest has was read without the parts that lie deep in the core.
  if (opened.kind === "bundle" && threads !== undefined && modules !== undefined)
    return { threads, modules, remarks: remarksOf(problems) };
  const facts = await opened.facts();
  return { threads: describeThreads(facts), modules: describeModules(facts), remarks: remarksOf(facts.problems) };
}

/** What the core could not say whole, by the list that it concerns. */
function remarksOf(problems: readonly Problem[]): ThreadsAndModules["remarks"] {
  const remarks: ThreadsAndModules["remarks"] = { threads: [], modules: [] };
  for (const { code, detail = code } of problems) {
    if (code === "CDH_CORE_FILES") remarks.modules.push(detail);
    else if (code === "CDH_CORE_LIMIT") (detail.includes(" threads ") ? remarks.threads : remarks.modules).push(detail);
  }
  return remarks;
}
