/** Let whatever else waits for this thread have its turn: what takes long is done in pieces, with this between them. */
export function giveWay(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
