import { findAbortMessage, LIBC_PATH } from "@cdh/core/crash/abort-message";
import { messageOfPanic, type CrashMessage } from "@cdh/core/crash/crash-message";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { mappingAt, type HeldProcess } from "./held-process.ts";
import type { Mapping } from "./maps.ts";
import { readMemory, wordAt } from "./read-memory.ts";

/** Bytes of a text that are read; longer ones than a page's worth are data. */
const TEXT_MAX_BYTES = 4096;
const TEXT_LENGTH_MAX = 1024 * 1024;

/** What a message is looked for in. */
export interface MessageSource {
  held: HeldProcess;
  facts: Pick<CoreFacts, "machine" | "signal">;
  /** Go's `g`s of the crashed thread, as far as they were read. */
  goroutines: readonly Buffer[];
  stop: AbortSignal;
}

/**
 * Read what the program said of its own end where it lies in its memory: a few small reads, while the process is held.
 * Total: what is not laid out as it must be is no message.
 */
export async function takeMessage(source: MessageSource): Promise<CrashMessage | undefined> {
  return (await takePanic(source)) ?? (await takeAbortMessage(source));
}

function takeAbortMessage({ held: { mem, mappings }, facts, stop }: MessageSource): Promise<CrashMessage | undefined> {
  return findAbortMessage({
    machine: facts.machine,
    signal: facts.signal?.number,
    libcData: libcData(mappings),
    regionAt: (address) => mappingAt(mappings, address),
    read: async (address, length) =>
      stop.aborted || mem === undefined ? undefined : await readMemory(mem, address, length),
  });
}

/** The writable memory right behind libc's code; of a static program behind its own. */
function libcData(mappings: readonly Mapping[]): Mapping[] {
  const code = mappings.findLastIndex(({ isExecutable, path }) => isExecutable && LIBC_PATH.test(path));
  const first = code === -1 ? mappings.findIndex(({ isExecutable, path }) => isExecutable && path !== "") : code;
  const data: Mapping[] = [];
  let end = mappings[first]?.end;
  for (const mapping of first === -1 ? [] : mappings.slice(first + 1)) {
    if (mapping.start !== end || mapping.isExecutable) break;
    end = mapping.end;
    if (mapping.isWritable) data.push(mapping);
  }
  return data;
}

/**
 * Fields of Go's `g`, `_panic` and types, in bytes. The value is `_panic`'s first field; before Go 1.26 its second one.
 * @see runtime/runtime2.go, internal/abi/type.go
 */
const GO = {
  gPanic: 0x20,
  panicArgs: [0, 8],
  panicBytes: 24,
  typeKind: 23,
  typeBytes: 24,
  stringKind: 24,
  stringBytes: 16,
};

/** The value that a Go program panicked with. Before it ends the runtime has made texts of errors and Stringers. */
async function takePanic(source: MessageSource): Promise<CrashMessage | undefined> {
  const { held, goroutines, stop } = source;
  const readAt = async (address: bigint | undefined, length: number): Promise<Buffer | undefined> => {
    if (stop.aborted || held.mem === undefined || address === undefined) return undefined;
    const bytes = mappingAt(held.mappings, address) && (await readMemory(held.mem, address, length));
    return bytes?.length === length ? bytes : undefined;
  };
  for (const g of goroutines) {
    const panic = await readAt(wordAt(g, GO.gPanic), GO.panicBytes);
    for (const arg of panic === undefined ? [] : GO.panicArgs) {
      const message = messageOfPanic((await readGoText(panic, arg, readAt)) ?? "");
      if (message !== undefined) return message;
    }
  }
  return undefined;
}

/** Read the text in an interface; undefined when it holds something else. */
async function readGoText(
  bytes: Buffer | undefined,
  at: number,
  readAt: (address: bigint | undefined, length: number) => Promise<Buffer | undefined>,
): Promise<string | undefined> {
  const type = await readAt(wordAt(bytes, at), GO.typeBytes);
  const isText = ((type?.[GO.typeKind] ?? 0) & 31) === GO.stringKind && wordAt(type, 0) === BigInt(GO.stringBytes);
  const header = isText ? await readAt(wordAt(bytes, at + 8), GO.stringBytes) : undefined;
  const length = wordAt(header, 8) ?? 0n;
  if (length === 0n || length > BigInt(TEXT_LENGTH_MAX)) return undefined;
  return (await readAt(wordAt(header, 0), Math.min(Number(length), TEXT_MAX_BYTES)))?.toString("utf8");
}
