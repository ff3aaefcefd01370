/** Order files so that no namespace waits for all of another's; within one, and among those that failed as often, the order stays. */
export function inTurns<File extends { failures: number; namespace: string | undefined }>(
  files: readonly File[],
): File[] {
  const counts = new Map<string, number>();
  return files
    .map((file) => {
      const key = `${file.failures} ${file.namespace ?? ""}`;
      const turn = counts.get(key) ?? 0;
      counts.set(key, turn + 1);
      return { file, turn };
    })
    .toSorted((a, b) => a.file.failures - b.file.failures || a.turn - b.turn)
    .map(({ file }) => file);
}
