import type { Place } from "@cdh/core/report/address-map";
import type { Frame, ReadMemory } from "./unwind.ts";

/** `call rel32` on x86-64. @see Intel SDM, CALL */
const CALL_OPCODE = 0xe8;
const CALL_BYTES = 5;

/** What the search needs to know about code. */
export interface CodeReader {
  find(address: bigint): Place | undefined;
  /** Read instructions out of the module's file; undefined when it is not here. */
  readCode(place: Place, before: number): Promise<Uint8Array | undefined>;
}

/**
 * Find the caller that frame pointers pass over: a function that has set up no frame yet, or needs none, left its return
 * address on top of the stack. It is believed only when the instruction before it calls just this function.
 * @param functionStart where the innermost function starts
 * @returns the frame to insert behind the innermost one
 * @see System V ABI AMD64, 3.2.2
 */
export async function findLeafCaller(
  sp: bigint,
  functionStart: bigint,
  next: Frame | undefined,
  read: ReadMemory,
  code: CodeReader,
): Promise<Frame | undefined> {
  // On top of the stack before `push %rbp`, one word further after it.
  const words = await read(sp, 16);
  if (words === undefined) return undefined;
  const view = new DataView(words.buffer, words.byteOffset, words.length);
  for (let at = 0; at + 8 <= words.length; at += 8) {
    const pc = view.getBigUint64(at, true);
    if (pc === next?.pc) return undefined;
    const place = code.find(pc);
    const bytes = place === undefined ? undefined : await code.readCode(place, CALL_BYTES);
    if (bytes === undefined || bytes.length < CALL_BYTES || bytes[0] !== CALL_OPCODE) continue;
    const target = pc + BigInt(new DataView(bytes.buffer, bytes.byteOffset).getInt32(1, true));
    if (target === functionStart) return { pc, isReturn: true };
  }
  return undefined;
}
