import type { ModuleFacts, ThreadFacts } from "@cdh/core/bundle/manifest";
import { describeModules, describeThreads } from "@cdh/core/bundle/manifest-from-core";
import type { Subject } from "./subject.ts";

/**
 * Get the threads and modules: the composer's, else the core's own.
 * @throws {CdhError} the CDH_BUNDLE family when neither is there
 */
export async function threadsAndModules(subject: Subject): Promise<{ threads: ThreadFacts[]; modules: ModuleFacts[] }> {
  const { threads, modules } = subject.manifest;
  // What an older bundle's manifest has was read without the parts that lie deep in the core.
  if (subject.kind === "bundle" && threads !== undefined && modules !== undefined) return { threads, modules };
  const facts = await subject.facts();
  return { threads: describeThreads(facts), modules: describeModules(facts) };
}
