import { readdirSync } from "node:fs";
import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { measureSpaceSync } from "@cdh/core/files/free-space";
import { onHost } from "@cdh/core/roots";
import { bundleNameOf, partialNameOf, QUARANTINE_DIRECTORY } from "@cdh/core/spool/layout";
import { lstatIfThere } from "./files.ts";
import type { Node } from "./target-node.ts";

/** What waits in CORE_DIR. */
export interface SpoolFacts {
  coreDir: string;
  bundleCount: number;
  bundleBytes: number;
  /** Bundles that a composer is writing, or was when it was killed. */
  partialCount: number;
  quarantineCount: number;
  oldestAt?: string;
  oldestAgeMs?: number;
  lastBundle?: { name: string; at: string; sizeBytes: number };
  freeBytes?: number;
  totalBytes?: number;
}

/** Look into CORE_DIR. A directory that is not there counts as empty. */
export function readSpoolFacts(node: Node): SpoolFacts {
  const directory = onHost(node.roots, node.coreDir);
  const facts: SpoolFacts = {
    coreDir: node.coreDir,
    bundleCount: 0,
    bundleBytes: 0,
    partialCount: 0,
    quarantineCount: 0,
  };
  let oldest = Number.POSITIVE_INFINITY;
  let newest = Number.NEGATIVE_INFINITY;
  for (const name of list(directory)) {
    if (partialNameOf(name) !== undefined) facts.partialCount += 1;
    if (bundleNameOf(name) === undefined) continue;
    // The uploader may take it away at any moment.
    const entry = lstatIfThere(join(directory, name));
    if (entry === undefined || !entry.isFile()) continue;
    facts.bundleCount += 1;
    facts.bundleBytes += entry.size;
    oldest = Math.min(oldest, entry.mtimeMs);
    if (entry.mtimeMs > newest) {
      newest = entry.mtimeMs;
      facts.lastBundle = { name, at: toRfc3339(entry.mtimeMs), sizeBytes: entry.size };
    }
  }
  if (Number.isFinite(oldest)) {
    facts.oldestAt = toRfc3339(oldest);
    facts.oldestAgeMs = Math.max(0, Math.round(node.clock.now() - oldest));
  }
  facts.quarantineCount = list(join(directory, QUARANTINE_DIRECTORY)).filter(
    (name) => bundleNameOf(name) !== undefined,
  ).length;
  try {
    const { availableBytes, totalBytes } = measureSpaceSync(directory);
    facts.freeBytes = availableBytes;
    facts.totalBytes = totalBytes;
  } catch {
    // Not there yet.
  }
  return facts;
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
