import type { Manifest } from "../bundle/manifest.ts";
import { storedIdOf, tryParseBuildId } from "./keys.ts";

/** How the writer of a manifest says that its list of modules is not whole. @see encode-manifest.ts, module-images.ts */
const CUT: readonly (readonly [code: string, detail: RegExp])[] = [
  ["CDH_CUT", /\bmodules: the first/],
  ["CDH_CORE_LIMIT", /\bELF files are looked at\b|\bmodules\b/],
];

/**
 * Build-ids of the files that a crash refers to, of files without one their SHA-256, each once; undefined when its manifest does not say which files it needs: it lists no
 * modules, or not all of them.
 */
export function buildIdsOf({
  modules,
  process,
  problems,
  counted,
}: Pick<Manifest, "modules" | "process" | "problems" | "counted">): string[] | undefined {
  // Nothing of it is there to be debugged.
  if (counted !== undefined) return [];
  const isCut = problems.some(({ code, detail = "" }) =>
    CUT.some(([known, words]) => code === known && words.test(detail)),
  );
  if (modules === undefined || isCut) return undefined;
  const ids = [tryParseBuildId(process.exeBuildId ?? ""), ...modules.map(storedIdOf)];
  return [...new Set(ids.filter((id) => id !== undefined))];
}
