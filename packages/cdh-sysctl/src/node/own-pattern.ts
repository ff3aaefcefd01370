import { CdhError } from "@cdh/core/errors";
import { CORE_PATTERN_MAX_BYTES, FILE_NAME_PATTERN, isHandlerPattern, isOurPattern } from "@cdh/core/kernel/pattern";
import { PLAIN_DIRECTORY } from "@cdh/core/spool/layout";
import { readState } from "./state.ts";
import type { Node } from "./target-node.ts";

/**
 * Build the pattern that makes the kernel write plain files into a directory.
 * @throws {CdhError} CDH_PATTERN_TOO_LONG
 */
export function buildFilePattern(coreDir: string): string {
  const pattern = `${coreDir.replaceAll("%", "%%")}/${PLAIN_DIRECTORY}/${FILE_NAME_PATTERN}`;
  if (Buffer.byteLength(pattern) > CORE_PATTERN_MAX_BYTES) {
    throw new CdhError(
      "CDH_PATTERN_TOO_LONG",
      `cannot put ${coreDir} into the core pattern: the kernel keeps ${CORE_PATTERN_MAX_BYTES} bytes of it`,
      {
        hint: "choose a shorter CORE_DIR",
      },
    );
  }
  return pattern;
}

/** Tell whether a core pattern is the one of this install: the only one that a restore may replace. */
export function isOwnPattern(node: Node, pattern: string): boolean {
  if (isOurPattern(pattern, node.hostDir)) return true;
  return isHandlerPattern(pattern) && readState(node)?.values.core_pattern.includes(pattern) === true;
}
