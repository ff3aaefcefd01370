import { CdhError } from "@cdh/core/errors";
import { CORE_PATTERN_MAX_BYTES, isOurPattern } from "@cdh/core/kernel/pattern";
import type { Node } from "./node.ts";
import { readState } from "./state.ts";

/** Name of the cores that the kernel writes itself in MODE=file. The uploader takes `core*`; the end makes it ours. */
const FILE_NAME_PATTERN = "core.%h.%e.%P.%s.%t.cdh";

/**
 * Build the pattern that makes the kernel write plain files into a directory.
 * @throws {CdhError} CDH_PATTERN_TOO_LONG
 */
export function buildFilePattern(coreDir: string): string {
  const pattern = `${coreDir.replaceAll("%", "%%")}/${FILE_NAME_PATTERN}`;
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

/** Tell whether a core pattern is one of this kind of handler, in whatever directory: never a node's own. */
export function isHandlerPattern(pattern: string): boolean {
  return isOurPattern(pattern) || pattern.endsWith(`/${FILE_NAME_PATTERN}`);
}

/** Tell whether a core pattern is the one of this install: the only one that a restore may replace. */
export function isInstalledPattern(node: Node, pattern: string): boolean {
  if (isOurPattern(pattern, node.hostDir)) return true;
  return isHandlerPattern(pattern) && readState(node)?.values.core_pattern.includes(pattern) === true;
}
