import { once } from "node:events";
import { isTerminal } from "@cdh/core/cli";
import { printable } from "@cdh/core/output";

/**
 * Write bytes from a bundle to stdout: as they are into a pipe or a file, made visible on a terminal, so that no escape
 * sequence of a crashed program acts on it. Waits for a slow reader.
 */
export async function writeSafely(
  stdout: NodeJS.WritableStream,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const isPlain = !isTerminal(stdout);
  const decoder = new TextDecoder("utf-8");
  const write = async (data: string | Uint8Array): Promise<void> => {
    if (data.length > 0 && !stdout.write(data)) await drained(stdout, signal);
  };
  for await (const chunk of chunks) await write(isPlain ? chunk : visible(decoder.decode(chunk, { stream: true })));
  if (!isPlain) await write(visible(decoder.decode()));
}

/** Wait until a reader has taken what was written; throws the signal's own reason when that will not happen. */
async function drained(stdout: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await once(stdout, "drain", { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
}

function visible(text: string): string {
  // Line ends and tabs are what makes text readable; everything else that acts is shown.
  return text.replace(/[^\n\t]+/g, (run) => printable(run));
}
