/** Do work when it is first asked for, and give every caller the same promise; one that failed stays failed. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
