import type { CoreFacts, CoreThread } from "@cdh/core/elf/facts";

/** Read memory of the process; undefined where the core has nothing. */
export type ReadMemory = (address: bigint, length: number) => Promise<Uint8Array | undefined>;

/** One step of a stack. */
export interface Frame {
  /** Program counter: where the thread was, or where a call will return to. */
  pc: bigint;
  /** True for every frame but the first: the call is the instruction before `pc`. */
  isReturn: boolean;
}

/** Deeper stacks are recursion, which the first frames show as well. */
const FRAMES_MAX = 256;
/** A frame larger than this is a wild pointer. */
const FRAME_MAX_BYTES = 64n * 1024n * 1024n;
/** arm64 signs return addresses in the bits above the 48 of an address. */
const ARM64_ADDRESS_MASK = 0xffff_ffff_ffffn;

/**
 * Walk a thread's stack by its frame pointers, on x86-64 and arm64: at each one lie the caller's frame pointer and the
 * return address. Code that was built without frame pointers is passed over or ends the walk.
 * @param isCode tells whether an address can be a return address
 * @see System V ABI AMD64, 3.2.2; AAPCS64, 6.2.3
 */
export async function unwindByFramePointers(
  thread: CoreThread,
  machine: CoreFacts["machine"],
  read: ReadMemory,
  isCode: (address: bigint) => boolean,
): Promise<Frame[]> {
  const frames: Frame[] = [{ pc: thread.pc, isReturn: false }];
  if (thread.fp === undefined || (machine?.name !== "x64" && machine?.name !== "arm64")) return frames;
  const isArm = machine.name === "arm64";
  const clean = (address: bigint): bigint => (isArm ? address & ARM64_ADDRESS_MASK : address);
  const link = isArm ? thread.registers?.["x30"] : undefined;
  let lastFp = thread.sp;
  for (let fp = thread.fp; frames.length < FRAMES_MAX;) {
    if (fp % 8n !== 0n || fp < lastFp || fp - lastFp > FRAME_MAX_BYTES) break;
    const pair = await read(fp, 16);
    if (pair === undefined || pair.length < 16) break;
    const view = new DataView(pair.buffer, pair.byteOffset, 16);
    const next = view.getBigUint64(0, true);
    const pc = clean(view.getBigUint64(8, true));
    if (!isCode(pc)) break;
    // A leaf function of arm64 has its return address only in the link register.
    if (frames.length === 1 && link !== undefined && clean(link) !== pc && isCode(clean(link)))
      frames.push({ pc: clean(link), isReturn: true });
    frames.push({ pc, isReturn: true });
    if (next <= fp) break;
    lastFp = fp;
    fp = next;
  }
  return frames;
}
