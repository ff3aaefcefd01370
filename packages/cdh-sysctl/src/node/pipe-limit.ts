import { join } from "node:path";
import type { Roots } from "@cdh/core/roots";
import { readTextIfThere } from "./files.ts";

/** As many as IBM's handler allows. */
export const PIPE_LIMIT_MAX = 128;

/** Fewer lose crashes of pods that crash together. */
const PIPE_LIMIT_MIN = 64;

/** Memory of a composer that waits its turn (Pss), measured with 64 of them at once; docs/decisions/0011. */
const WAITING_COMPOSER_BYTES = 20 * 1024 * 1024;

/** Composers together may take this part of the node's memory. */
const SHARE = 1 / 4;

/**
 * Choose how many crashes the kernel may hand over at a time: as many composers as a quarter of the node's memory holds, from
 * 64 to 128; 64 where the memory is not known.
 */
export function defaultPipeLimit(roots: Pick<Roots, "proc">): number {
  const meminfo = readTextIfThere(join(roots.proc, "meminfo")) ?? "";
  const kibibytes = /^MemTotal:\s+(\d+) kB$/.exec(meminfo.split("\n")[0] ?? "")?.[1];
  if (kibibytes === undefined) return PIPE_LIMIT_MIN;
  const fitting = Math.floor((Number(kibibytes) * 1024 * SHARE) / WAITING_COMPOSER_BYTES);
  return Math.min(PIPE_LIMIT_MAX, Math.max(PIPE_LIMIT_MIN, fitting));
}
