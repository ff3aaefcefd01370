import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundleFile } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import { CdhError } from "@cdh/core/errors";
import { onHost } from "@cdh/core/roots";
import { bundleNameOf } from "@cdh/core/spool/layout";
import { PROBE_NAME, probeDirectory } from "@cdh/core/spool/probe";
import { formatBytes } from "@cdh/core/units";
import { inHostDir, type Node } from "../node/target-node.ts";
import type { ProbeFinding } from "./proof.ts";

const SIGSEGV = 11;

/** What is older is nobody's any more: no probe takes so long. */
const STALE_MS = 15 * 60_000;

/** Find the bundle of a probe, verify it and remove it; undefined while it is not there. */
export async function findProbeBundle(node: Node, name: string, tookMs: number): Promise<ProbeFinding | undefined> {
  const directory = onHost(node.roots, probeDirectory(node.coreDir));
  for (const file of list(directory)) {
    if (bundleNameOf(file) === undefined) continue;
    const path = join(directory, file);
    try {
      const bundle = await openBundleFile(path);
      try {
        const manifest = await readManifest(bundle);
        if (manifest?.process.comm !== name) continue;
        const core = bundle.findRole("core");
        // Reading an entry to its end checks its size and its checksum.
        if (core !== undefined) for await (const _bytes of bundle.stream(core));
        return judgeBundle(manifest, tookMs);
      } finally {
        await bundle.close();
        rmSync(path, { force: true });
      }
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      // Another look, of `status` or `doctor`, may have taken its own away meanwhile.
      if (error.code !== "CDH_NOT_FOUND") return { outcome: "failed", finding: error.message };
    }
  }
  return undefined;
}

/** Remove what probes left that were killed: programs in HOST_DIR, bundles and parts of bundles. */
export function clearProbes(node: Node): void {
  for (const path of staleProbes(node)) rmSync(path, { force: true });
}

/** List what probes left that were killed. One that runs now, of another cdh-sysctl, is young. */
export function staleProbes(node: Node): string[] {
  const spool = onHost(node.roots, probeDirectory(node.coreDir));
  const programs = list(inHostDir(node)).filter((name) => PROBE_NAME.test(name));
  const bundles = list(spool).filter((name) => name.includes(".zip"));
  return [...programs.map((name) => inHostDir(node, name)), ...bundles.map((name) => join(spool, name))].filter(
    (path) => {
      const entry = statSync(path, { throwIfNoEntry: false });
      return entry?.isFile() === true && Math.abs(node.clock.now() - entry.mtimeMs) > STALE_MS;
    },
  );
}

function judgeBundle(manifest: Manifest, tookMs: number): ProbeFinding {
  const { core, signal, threads } = manifest;
  const facts = `crashed a test program, its bundle came after ${Math.round(tookMs)} ms (core ${formatBytes(core.sizeBytes ?? 0)})`;
  if (signal.number !== SIGSEGV)
    return { outcome: "failed", finding: `${facts}, and it tells signal ${signal.number} for SIGSEGV` };
  if (!core.complete && core.truncatedBy === "rlimit") {
    return {
      outcome: "warning",
      finding: `${facts}, cut at the core limit of this shell or container`,
      advice: "COMP_RLIMIT_CORE=ignore keeps cores whatever the limit is",
    };
  }
  if (!core.complete) {
    return {
      outcome: "failed",
      finding: `${facts}, but the core is not complete${core.truncatedBy === undefined ? "" : ` (${core.truncatedBy})`}`,
      advice: core.truncatedBy === "keepFree" ? "free some space, or lower KEEP_FREE" : "see composer.log in HOST_DIR",
    };
  }
  if ((threads?.length ?? 0) === 0) return { outcome: "warning", finding: `${facts}, but it lists no threads` };
  return { outcome: "ok", finding: `${facts} and verified` };
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
