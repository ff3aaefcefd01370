import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CdhError } from "@cdh/core/errors";
import { onHost } from "@cdh/core/roots";
import { partialNameOf } from "@cdh/core/spool/layout";
import { probeDirectory } from "@cdh/core/spool/probe";
import { inHostDir, NAMES, type Node } from "../node/target-node.ts";
import { proveCapture } from "./capture-proof.ts";
import type { CaptureProof, ProofOptions } from "./proof.ts";

/** Probes before an install is given up: one that goes astray on a busy node says nothing yet. */
const ATTEMPTS = 3;

/** Between two probes, when the kernel had no place for the first. */
const PAUSE_MS = 2_000;

/**
 * Prove a fresh install by a crash that arrives.
 * @returns the proof; with `arrived: false` when nothing came, and something shows that the composer does run: the node is
 *   busy, and what cannot be known yet is left to the next look
 * @throws {CdhError} CDH_ENVIRONMENT when the kernel does not start the composer: it said so, or nothing came of several
 *   probes and no composer of anybody's crash showed a sign of life
 */
export async function proveInstall(node: Node, options: ProofOptions): Promise<CaptureProof> {
  const startedAt = node.clock.now();
  const each = { ...options, timeoutMs: Math.ceil(options.timeoutMs / ATTEMPTS) };
  for (let attempt = 1; ; attempt += 1) {
    const proof = await proveCapture(node, each);
    if (proof.arrived || proof.notCrashed === true || options.signal?.aborted === true) return proof;
    if (proof.kernel !== "pipe_failed") {
      if (attempt < ATTEMPTS) {
        if (proof.kernel !== undefined) await node.clock.sleep(PAUSE_MS, options.signal).catch(() => {});
        continue;
      }
      if (proof.kernel === "pipe_limit" || composerLives(node, startedAt)) return proof;
    }
    throw new CdhError("CDH_ENVIRONMENT", proof.finding, proof.advice === undefined ? {} : { hint: proof.advice });
  }
}

/** Tell whether a composer has written anything since, to its log or into the spool: then the kernel does start it. */
function composerLives(node: Node, sinceMs: number): boolean {
  const spool = onHost(node.roots, node.coreDir);
  const partials = list(spool).filter((name) => partialNameOf(name) !== undefined);
  return [
    inHostDir(node, NAMES.log),
    onHost(node.roots, probeDirectory(node.coreDir)),
    ...partials.map((name) => join(spool, name)),
  ].some((path) => (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= sinceMs);
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
