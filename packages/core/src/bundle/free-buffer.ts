/** Smaller buffers may lie in Node's pool, and do not matter. */
const FREE_FROM_BYTES = 64 * 1024;
/** Room left in a decoder's output buffer, so that it sees the end without a second one. */
export const OUTPUT_SLACK_BYTES = 64;

/**
 * Give a buffer's memory back now. Megabytes that wait for the garbage collector, which counts them late, would be most
 * of what a reader uses. A buffer that shares its memory is left alone.
 */
export function free(bytes: Uint8Array): void {
  const { buffer } = bytes;
  const shared = buffer.byteLength - bytes.length;
  if (bytes.length >= FREE_FROM_BYTES && shared <= OUTPUT_SLACK_BYTES && buffer instanceof ArrayBuffer)
    buffer.transfer(0);
}
