import type { Manifest } from "../bundle/manifest.ts";
import { tryParseBuildId } from "./keys.ts";

/** Build-ids of the files that a crash refers to, each once; undefined when its manifest does not say which files it needs. */
export function buildIdsOf({
  modules,
  process,
  counted,
}: Pick<Manifest, "modules" | "process" | "counted">): string[] | undefined {
  // Nothing of it is there to be debugged.
  if (counted !== undefined) return [];
  if (modules === undefined) return undefined;
  const ids = [process.exeBuildId, ...modules.map(({ buildId }) => buildId)];
  return [...new Set(ids.map((id) => tryParseBuildId(id ?? "")).filter((id) => id !== undefined))];
}
