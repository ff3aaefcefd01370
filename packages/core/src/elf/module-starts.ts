import type { CoreMapping } from "./facts.ts";

/** So many mappings of one file are looked at: a program may map its data ten thousand times. */
const SAME_FILE_MAX = 16;

/**
 * Find the addresses where ELF files may begin: where a file is mapped from its start on, and the vDSO.
 * @param sysinfoEhdr of the vDSO, as the auxiliary vector says it
 */
export function moduleStarts(
  mappings: readonly Pick<CoreMapping, "path" | "start" | "fileOffset">[],
  sysinfoEhdr: bigint | undefined,
): Set<bigint> {
  const starts = new Set<bigint>();
  const seen = new Map<string, number>();
  for (const { path, start, fileOffset } of mappings) {
    const times = seen.get(path) ?? 0;
    if (fileOffset !== 0n || times >= SAME_FILE_MAX) continue;
    seen.set(path, times + 1);
    starts.add(start);
  }
  if (sysinfoEhdr !== undefined) starts.add(sysinfoEhdr);
  return starts;
}
