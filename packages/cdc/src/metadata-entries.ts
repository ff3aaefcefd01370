import type { SmallEntry } from "@cdh/core/bundle/writer";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { ProcInfo } from "./settings.ts";

/** List what was learnt about the crash as entries, in the order of IBM's bundles, /proc last. */
export function metadataEntries(given: {
  name: string;
  process: ProcessSnapshot;
  enrichment: Enrichment;
  include: ProcInfo;
}): SmallEntry[] {
  const { name, process, enrichment } = given;
  const entries: SmallEntry[] = [];
  const addJson = (suffix: string, value: unknown): void => {
    if (value !== undefined)
      entries.push({ name: `${name}-${suffix}.json`, bytes: Buffer.from(`${JSON.stringify(value)}\n`) });
  };
  addJson("pod-info", enrichment.podInfo);
  addJson("runtime-info", enrichment.runtimeInfo);
  addJson("ps-info", enrichment.psInfo);
  for (const [index, container] of enrichment.containers.entries()) {
    if (container.log !== undefined) entries.push({ name: `${name}-${index}.log`, bytes: container.log });
    addJson(`${index}-image-info`, container.imageInfo);
  }
  if (given.include !== "none") {
    for (const file of process.files) entries.push({ name: `${name}-proc/${file.name}`, bytes: file.bytes });
  }
  return entries;
}
