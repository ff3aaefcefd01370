/** Where alone is nearly always how the summary ends: then its length says it. Else it stands behind a sign. */
export function packWhere(where: string | undefined, summary: string): string {
  if (where === undefined || where === "") return "";
  return summary.endsWith(where) ? String(where.length) : `=${where}`;
}

/** Undo {@link packWhere}. @param packed undefined where it was empty */
export function unpackWhere(packed: string | undefined, summary: string): string | undefined {
  if (packed === undefined) return undefined;
  return packed.startsWith("=") ? packed.slice(1) : summary.slice(-Number(packed));
}
